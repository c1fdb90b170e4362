#!/usr/bin/python3 -B
"""The manifests for Kubernetes, without and with TLS: what they name is there, containers have no rights, and the commands of
their containers train a model together, here, at other addresses and paths."""

import copy
import pathlib
import re
import subprocess
import sys

import yaml

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/apps"))
import support  # noqa: E402, with its path

FOLDER = TOP / "packaging/kubernetes"
HELD = 2


def patched(resource, patch):
    """With a JSON patch: a list of add, replace and remove."""
    for change in patch:
        keys = [int(key) if key.isdigit() else key for key in change["path"].split("/")[1:]]
        place = resource
        for key in keys[:-1]:
            place = place[key]
        if change["op"] == "remove":
            del place[keys[-1]]
        elif keys[-1] == "-":
            place.append(copy.deepcopy(change["value"]))
        else:
            assert (change["op"] == "add") != (keys[-1] in place), f"{change['op']} {change['path']}"
            place[keys[-1]] = copy.deepcopy(change["value"])


def resources(folder):
    """As kustomize would build them."""
    made = yaml.safe_load((folder / "kustomization.yaml").read_text())
    found = []
    for name in made["resources"]:
        path = folder / name
        found += resources(path) if path.is_dir() else yaml.safe_load_all(path.read_text())
    for patch in made.get("patches", []):
        target = patch["target"]
        (resource,) = [r for r in found if (r["kind"], r["metadata"]["name"]) == (target["kind"], target["name"])]
        patched(resource, yaml.safe_load((folder / patch["path"]).read_text()))
    return found


class Manifests:
    def setUp(self):
        super().setUp()
        self.all = resources(FOLDER / self.folder)
        self.jobs = self.of("Job")

    def of(self, kind):
        return {r["metadata"]["name"]: r for r in self.all if r["kind"] == kind}

    def pods(self, selector):
        """The pods that a selector takes."""
        return [job["spec"]["template"] for job in self.jobs.values()
                if selector.items() <= job["spec"]["template"]["metadata"]["labels"].items()]

    def container(self, name):
        (container,) = self.jobs[name]["spec"]["template"]["spec"]["containers"]
        return container

    def test_what_is_named_is_there(self):
        text = (TOP / "docs/packaging.md").read_text()
        for job in self.jobs.values():
            pod = job["spec"]["template"]["spec"]
            volumes = {volume["name"]: volume for volume in pod["volumes"]}
            (container,) = pod["containers"]
            self.assertEqual({mount["name"] for mount in container["volumeMounts"]}, set(volumes))
            for volume in volumes.values():
                if "persistentVolumeClaim" in volume:
                    self.assertIn(volume["persistentVolumeClaim"]["claimName"], self.of("PersistentVolumeClaim"))
                if "secret" in volume:  # which is made by hand
                    self.assertIn(f"create secret generic {volume['secret']['secretName']} ", text)
            for source in container.get("envFrom", []):
                self.assertIn(source["configMapRef"]["name"], self.of("ConfigMap"))
            for rule in job["spec"].get("podFailurePolicy", {}).get("rules", []):
                self.assertEqual(rule["onExitCodes"]["containerName"], container["name"])

    def test_selectors_take_a_pod_with_the_ports(self):
        for service in self.of("Service").values():
            (pod,) = self.pods(service["spec"]["selector"])
            named = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
            self.assertEqual({port["targetPort"] for port in service["spec"]["ports"]}, named)
        for policy in self.of("NetworkPolicy").values():
            (pod,) = self.pods(policy["spec"]["podSelector"]["matchLabels"])
            for rule in policy["spec"].get("ingress", []):
                for port in rule["ports"]:
                    self.assertIn(port["port"], [p["name"] for p in pod["spec"]["containers"][0]["ports"]])
                for peer in rule["from"]:
                    if "namespaceSelector" not in peer:
                        self.assertTrue(self.pods(peer["podSelector"]["matchLabels"]))
        address = self.argument(self.container("muster-participants"), "connect")
        name, port = address.split(":")
        self.assertIn(int(port), [p["port"] for p in self.of("Service")[name]["spec"]["ports"]])

    def test_no_rights(self):
        for job in self.jobs.values():
            pod = job["spec"]["template"]["spec"]
            self.assertIs(pod["automountServiceAccountToken"], False)
            self.assertIs(pod["securityContext"]["runAsNonRoot"], True)
            self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            rights = pod["containers"][0]["securityContext"]
            self.assertEqual((rights["allowPrivilegeEscalation"], rights["readOnlyRootFilesystem"]), (False, True))
            self.assertEqual(rights["capabilities"], {"drop": ["ALL"]})

    def argument(self, container, name):
        (value,) = [word.partition("=")[2] for word in container["args"] if word.startswith(f"--{name}=")]
        return value

    def command(self, container, **values):
        """What the container runs, with its environment put in, and other values of some options."""
        known = {"JOB_COMPLETION_INDEX": "0"}
        for source in container.get("envFrom", []):
            known |= self.of("ConfigMap")[source["configMapRef"]["name"]]["data"]
        words = []
        for word in container["args"]:
            name, equals, value = word.partition("=")
            value = values.pop(name.lstrip("-").replace("-", "_"), value)
            words.append(name + equals + re.sub(r"\$\((\w+)\)", lambda found: known[found[1]], str(value)))
        self.assertFalse(values, "these options are not there")
        return words

    def test_the_commands_train(self):
        folder = self.scratch / "secrets"
        folder.mkdir()
        subprocess.run([TOP / "tests/integration/make_certificates", folder], check=True, stdout=subprocess.DEVNULL)
        server = self.start_on_port(support.MUSTER, *self.command(
            self.container("muster-server"), listen="127.0.0.1:0", monitor="127.0.0.1:0", run=self.scratch / "run",
            token_file=folder / "token", rounds=HELD, **self.server_tls(folder)))
        job = self.jobs["muster-participants"]["spec"]
        self.assertEqual(self.of("ConfigMap")["muster-server"]["data"]["PARTICIPANTS"], str(job["completions"]))
        self.assertEqual(job["completions"], job["parallelism"])
        for index in range(job["completions"]):
            participant = self.container("muster-participants")
            words = self.command(participant, connect=f"127.0.0.1:{server.port}", token_file=folder / "token",
                                 participant=index, name=f"participant-{index}", **self.participant_tls(folder))
            self.start(support.MUSTER, *words, stdout=subprocess.DEVNULL)
        self.assertEqual((server.stdout.read(), server.wait())[1], 0, self.errors_of(server))
        self.assertEqual(len((self.scratch / "run/metrics.csv").read_text().splitlines()), 1 + HELD)


class Plain(Manifests, support.Case):
    folder = "plain"

    def server_tls(self, folder):
        return {}

    participant_tls = server_tls


class Tls(Manifests, support.Case):
    folder = "tls"

    def server_tls(self, folder):
        return {"tls_cert": folder / "server.pem", "tls_key": folder / "server.key"}

    def participant_tls(self, folder):
        return {"tls_ca": folder / "ca.pem"}

    def test_probes_of_grpc_know_no_tls(self):
        container = self.container("muster-server")
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            self.assertNotIn("grpc", container[probe])
            self.assertEqual(container[probe]["httpGet"], {"path": "/healthz", "port": "monitor", "scheme": "HTTPS"})


if __name__ == "__main__":
    support.main()
