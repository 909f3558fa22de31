import Layers
import Tensors

extension Conv2d: ONNXConvertible {
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) throws(LayerError) -> ONNXValue {
    guard following == .nothing else { throw LayerError("a fused Conv2d isn't exported") }
    let pads: [Int]
    switch padding {
    case .explicit(let size): pads = [size.height, size.width, size.height, size.width]
    case .same:
      let whole = Size2D(dilation.height * (kernel.height - 1), dilation.width * (kernel.width - 1))
      let (above, left) = (whole.height / 2, whole.width / 2)
      pads = [above, left, whole.height - above, whole.width - left]
    }
    let weight: Shape = [outputChannels, place.input.channels / groups, kernel.height, kernel.width]
    let output = place.add(
      "Conv", [inputs[0].name] + place.arrays(weight: weight), "",
      [
        ("kernel_shape", .integers([kernel.height, kernel.width])), ("pads", .integers(pads)),
        ("strides", .integers([stride.height, stride.width])),
        ("dilations", .integers([dilation.height, dilation.width])), ("group", .integer(groups)),
      ])
    return ONNXValue(name: output, isFlat: false)
  }
}

extension Linear: ONNXConvertible {
  /// Images with one place are vectors; weights (O, F) are in the order of (C, H, W), as `Flatten` leaves them.
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue {
    let vector = inputs[0].flattened(in: &place.graph, named: "\(place.node.name)/flat")
    let output = place.add(
      "Gemm", [vector.name] + place.arrays(), "",
      [("alpha", .number(1)), ("beta", .number(1)), ("transA", .integer(0)), ("transB", .integer(1))])
    return ONNXValue(name: output, isFlat: true)
  }
}

extension BatchNorm2d: ONNXConvertible {
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) throws(LayerError) -> ONNXValue {
    guard following == .nothing else { throw LayerError("a fused BatchNorm2d isn't exported") }
    var arrays = place.arrays()
    if !affine {
      let channels = place.input.channels
      arrays =
        [
          place.constant(Tensor(shape: [channels], repeating: 1), "weight"),
          place.constant(Tensor(shape: [channels], repeating: 0), "bias"),
        ] + arrays
    }
    let output = place.add(
      "BatchNormalization", [inputs[0].name] + arrays, "", [("epsilon", .number(epsilon))])
    return ONNXValue(name: output, isFlat: inputs[0].isFlat)
  }
}
