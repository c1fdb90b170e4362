import numpy

for hospital in range(3):
    random = numpy.random.default_rng(hospital)
    measurements = random.normal(hospital / 4, 1, (400, 4))
    ill = measurements @ [1.5, -2, 1, 0.5] + random.normal(0, 0.5, 400) > 0
    rows = numpy.column_stack([measurements, ill])
    numpy.savetxt(f"hospital-{hospital}.csv", rows, delimiter=",", fmt="%.4f")
