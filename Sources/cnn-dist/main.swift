import CLI

CNNDist.start()
