import Layers
import Tensors

extension LayerNorm: ONNXConvertible {
  /// ONNX normalises the last axis, so channels go there and back.
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue {
    let channels = place.input.channels
    let arrays = affine ? place.arrays() : [place.constant(Tensor(shape: [channels], repeating: 1), "weight")]
    let attributes: [(String, ONNXAttribute)] = [("axis", .integer(-1)), ("epsilon", .number(epsilon))]
    if inputs[0].isFlat {
      let output = place.add("LayerNormalization", [inputs[0].name] + arrays, "", attributes)
      return ONNXValue(name: output, isFlat: true)
    }
    let last = place.add("Transpose", [inputs[0].name], "channels_last", [("perm", .integers([0, 2, 3, 1]))])
    let normed = place.add("LayerNormalization", [last] + arrays, "normed", attributes)
    return ONNXValue(
      name: place.add("Transpose", [normed], "", [("perm", .integers([0, 3, 1, 2]))]), isFlat: false)
  }
}

extension GroupNorm: ONNXConvertible {
  /// A group is an instance of one channel; weight and bias of each channel come afterwards.
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) -> ONNXValue {
    let x = place.input
    let grouped = place.add(
      "Reshape", [inputs[0].name, place.constant([0, groups, -1], "groups")], "grouped")
    let units = [
      place.constant(Tensor(shape: [groups], repeating: 1), "ones"),
      place.constant(Tensor(shape: [groups], repeating: 0), "zeros"),
    ]
    let normed = place.add(
      "InstanceNormalization", [grouped] + units, "normed", [("epsilon", .number(epsilon))])
    let extents = inputs[0].isFlat ? [0, x.channels] : [0, x.channels, x.height, x.width]
    let back = place.add("Reshape", [normed, place.constant(extents, "extents")], affine ? "back" : "")
    guard affine else { return ONNXValue(name: back, isFlat: inputs[0].isFlat) }
    let axes = inputs[0].isFlat ? [1, x.channels] : [1, x.channels, 1, 1]
    let shape = place.constant(axes, "channels")
    let arrays = place.arrays()
    let scaled = place.add("Mul", [back, place.add("Reshape", [arrays[0], shape], "scale")], "scaled")
    let output = place.add("Add", [scaled, place.add("Reshape", [arrays[1], shape], "shift")])
    return ONNXValue(name: output, isFlat: inputs[0].isFlat)
  }
}

extension LocalResponseNorm: ONNXConvertible {
  func addToONNX(_ inputs: [ONNXValue], _ place: inout ONNXPlace) throws(LayerError) -> ONNXValue {
    // Of an even number of channels, ONNX has one more behind, PyTorch before.
    guard size % 2 == 1 else {
      throw LayerError("LocalResponseNorm of an even size (\(size)) isn't exported")
    }
    let output = place.add(
      "LRN", [inputs[0].name], "",
      [("size", .integer(size)), ("alpha", .number(alpha)), ("beta", .number(beta)), ("bias", .number(k))])
    return ONNXValue(name: output, isFlat: inputs[0].isFlat)
  }
}
