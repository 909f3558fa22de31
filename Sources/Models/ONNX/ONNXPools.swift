import Layers
import Tensors

extension PoolingWindow {
  /// Where windows lie, as attributes. ONNX pads below and to the right exactly as far as the last window reaches, so
  /// that ceil mode, whose rule differs between runtimes, isn't needed.
  fileprivate func attributes(_ input: FeatureShape, _ output: FeatureShape) -> [(String, ONNXAttribute)] {
    let (below, right) = reach(input, output)
    return [
      ("kernel_shape", .integers([kernel.height, kernel.width])),
      ("strides", .integers([stride.height, stride.width])),
      ("pads", .integers([padding.height, padding.width, below, right])),
    ]
  }

  /// How far the last windows reach beyond the input.
  fileprivate func reach(_ input: FeatureShape, _ output: FeatureShape) -> (below: Int, right: Int) {
    func reach(_ axis: KeyPath<Size2D, Int>, _ input: Int, _ output: Int) -> Int {
      let extent = dilation[keyPath: axis] * (kernel[keyPath: axis] - 1) + 1
      return max(0, (output - 1) * stride[keyPath: axis] + extent - input - padding[keyPath: axis])
    }
    return (reach(\.height, input.height, output.height), reach(\.width, input.width, output.width))
  }
}

extension MaxPool2d: ONNXConvertible {
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue {
    let attributes =
      window.attributes(place.input, place.node.shape)
      + [("dilations", .integers([window.dilation.height, window.dilation.width]))]
    return ONNXValue(name: place.add("MaxPool", [inputs[0].name], "", attributes), isFlat: false)
  }
}

extension AvgPool2d: ONNXConvertible {
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) throws(LayerError) -> ONNXValue {
    let counts = countIncludePad && window.padding != 0
    let (below, right) = window.reach(place.input, place.node.shape)
    guard !counts || (below <= window.padding.height && right <= window.padding.width) else {
      throw LayerError("AvgPool2d that counts its padding isn't exported with windows that reach beyond it")
    }
    let attributes =
      window.attributes(place.input, place.node.shape) + [("count_include_pad", .integer(counts ? 1 : 0))]
    return ONNXValue(name: place.add("AveragePool", [inputs[0].name], "", attributes), isFlat: false)
  }
}

extension AdaptiveAvgPool2d: ONNXConvertible {
  /// The global mean, a pool where the windows are alike, else two products: rows of means over rows, then columns.
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue {
    let input = place.input
    if output == 1 {
      return ONNXValue(name: place.add("GlobalAveragePool", [inputs[0].name]), isFlat: false)
    }
    if input.height % output.height == 0, input.width % output.width == 0 {
      let size = [input.height / output.height, input.width / output.width]
      let attributes: [(String, ONNXAttribute)] = [
        ("kernel_shape", .integers(size)), ("strides", .integers(size)),
      ]
      return ONNXValue(name: place.add("AveragePool", [inputs[0].name], "", attributes), isFlat: false)
    }
    let rows = place.constant(Self.means(of: input.height, over: output.height), "rows")
    var columns = Self.means(of: input.width, over: output.width)
    columns = Tensor(
      shape: [input.width, output.width],
      values: (0..<input.width).flatMap { from in
        (0..<output.width).map { columns.values[$0 * input.width + from] }
      })
    let tall = place.add("MatMul", [rows, inputs[0].name], "over_rows")
    let whole = place.add("MatMul", [tall, place.constant(columns, "columns")])
    return ONNXValue(name: whole, isFlat: false)
  }

  /// (windows, input): row i holds 1/n at the n places of window i.
  static func means(of input: Int, over windows: Int) -> Tensor {
    var tensor = Tensor(shape: [windows, input])
    for window in 0..<windows {
      let (begin, end) = (window * input / windows, ((window + 1) * input + windows - 1) / windows)
      for place in begin..<end { tensor.values[window * input + place] = 1 / Float(end - begin) }
    }
    return tensor
  }
}
