import Layers

/// Steps that several architectures share.
extension NetworkBuilder {
  /// A convolution without bias and the batch norm behind it: `names` are those of the two.
  @discardableResult
  mutating func addNormed(
    _ names: (convolution: String, norm: String), _ convolution: Conv2d, _ norm: BatchNorm2d = BatchNorm2d(),
    from source: Network.Source? = nil
  ) throws(NetworkError) -> Network.Source {
    var convolution = convolution
    convolution.hasBias = false
    try add(names.convolution, convolution, inputs: [source ?? last])
    return try add(names.norm, norm)
  }

  /// The mean of each channel, and a linear layer that makes class scores of it.
  mutating func addPooledClassifier(_ name: String, classes: Int, _ initialisation: WeightInitialisation)
    throws(NetworkError)
  {
    try add("avgpool", AdaptiveAvgPool2d())
    try add("flatten", Flatten())
    try add(name, Linear(outputFeatures: classes, initialisation: initialisation))
  }
}
