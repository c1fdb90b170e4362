// A participant of grpc-go, written against stream.proto: it adds 1 to all numbers of the model, until the server says
// good-bye. Its environment says where and how: ADDRESS, NAME, and with TLS and a token CA, TOKEN.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"strangers/stream"
)

const limit = 64 << 20

// An .npy file of float32, each number one more.
func more(file []byte) []byte {
	start := 10 + int(binary.LittleEndian.Uint16(file[8:]))
	for at := start; at < len(file); at += 4 {
		number := math.Float32frombits(binary.LittleEndian.Uint32(file[at:]))
		binary.LittleEndian.PutUint32(file[at:], math.Float32bits(number+1))
	}
	return file
}

func train(config *stream.Arrays) *stream.Arrays {
	result := &stream.Arrays{Names: config.Names}
	for _, array := range config.Theta {
		result.Theta = append(result.Theta, &stream.NDArray{Ndarray: more(array.Ndarray)})
	}
	result.Scalars = []*stream.Scalar{{Name: "num_samples", Value: 1}, {Name: "loss", Value: 0.5}}
	return result
}

// What to say to a message; nil: nothing.
func answer(message *stream.ServerMessage) *stream.ParticipantMessage {
	switch content := message.Content.(type) {
	case *stream.ServerMessage_Welcome:
		return &stream.ParticipantMessage{}
	case *stream.ServerMessage_TrainConfig:
		result := &stream.ParticipantMessage_Result{Result: train(content.TrainConfig)}
		return &stream.ParticipantMessage{Turn: message.Turn, Content: result}
	}
	return nil
}

func connect() (grpc.ClientStream, error) {
	secrets, call := insecure.NewCredentials(), context.Background()
	if authority := os.Getenv("CA"); authority != "" {
		var err error
		if secrets, err = credentials.NewClientTLSFromFile(authority, ""); err != nil {
			return nil, err
		}
		call = metadata.AppendToOutgoingContext(call, "authorization", "Bearer "+os.Getenv("TOKEN"))
	}
	channel, err := grpc.NewClient("dns:///"+os.Getenv("ADDRESS"), grpc.WithTransportCredentials(secrets),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(limit), grpc.MaxCallSendMsgSize(limit), grpc.WaitForReady(true)))
	if err != nil {
		return nil, err
	}
	kind := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	return channel.NewStream(call, kind, "/ParticipantManager/Connect")
}

func main() {
	connection, err := connect()
	if err != nil {
		log.Fatal(err)
	}
	hello := &stream.ParticipantMessage_Hello{Hello: &stream.Hello{Name: os.Getenv("NAME"), MaxMessageSize: limit}}
	err = connection.SendMsg(&stream.ParticipantMessage{Content: hello})
	turns := 0
	for err == nil {
		message := &stream.ServerMessage{}
		if err = connection.RecvMsg(message); err != nil {
			break
		}
		if said := answer(message); said != nil {
			err = connection.SendMsg(said)
		}
		if message.GetTrainConfig() != nil {
			turns++
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	fmt.Printf("status %d after %d turns\n", status.Code(err), turns)
	if err != nil {
		log.Fatal(err)
	}
}
