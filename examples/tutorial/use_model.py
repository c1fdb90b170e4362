import numpy

model = numpy.load("runs/hospitals/server/best.npz")
patients = numpy.array([[2, -1, 0, 1], [-1, 2, 0, 0]])
chances = 1 / (1 + numpy.exp(-(patients @ model["weights"] + model["bias"])))
for patient, chance in zip(patients, chances[:, 0]):
    print(patient, f"is ill with a probability of {chance:.2f}")
