print("cnn-dist")
