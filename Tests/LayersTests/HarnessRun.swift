import Layers
import Tensors
import Testing

/// The memory of one run of a `LayerHarness`, and its calls of the layer.
final class HarnessRun {
  private let layer: any Layer
  private let mode: Mode
  private let kernels: InstructionSet
  private let wave: Wave
  private let needs: MemoryNeeds
  private let inputShapes: [FeatureShape]
  private let outputShape: FeatureShape
  private let inputIsPlanar: Bool
  private let inPlace: Bool
  private let pooling: (any BatchPooling)?
  private let parameterDeclarations: [ArrayDeclaration]
  private let statisticDeclarations: [ArrayDeclaration]

  private let inputs: [GuardedBuffer]
  /// What the inputs held before forward.
  private let original: [[Float]]
  private let parameters: [GuardedBuffer]
  private let statistics: [GuardedBuffer]
  private let prepared: GuardedBuffer
  private let saved: GuardedBuffer
  private let scratch: GuardedBuffer
  private let output: GuardedBuffer

  init(_ harness: LayerHarness, mode: Mode) {
    layer = harness.layer
    self.mode = mode
    kernels = harness.kernels
    wave = harness.wave
    needs = harness.needs
    inputShapes = harness.inputShapes
    outputShape = harness.outputShape
    inputIsPlanar = harness.inputIsPlanar
    inPlace = harness.inPlace
    pooling = harness.pooling
    parameterDeclarations = harness.parameterDeclarations
    statisticDeclarations = harness.statisticDeclarations
    precondition(!inPlace || needs.worksInPlace, "\(layer.kind) doesn't work in place")
    precondition(
      !inputIsPlanar || layer.readsImages(inputShapes[0]),
      "\(layer.kind) doesn't read \(inputShapes[0]) planar")
    inputs = harness.inputs.enumerated().map { index, x in
      GuardedBuffer(harness.inputIsPlanar && index == 0 ? x.planar : x.blocked)
    }
    original = inputs.map(\.values)
    parameters = zip(harness.parameters, parameterDeclarations).map(GuardedBuffer.init(packing:as:))
    statistics = zip(harness.statistics, statisticDeclarations).map(GuardedBuffer.init(packing:as:))
    prepared = GuardedBuffer(count: needs.prepared)
    saved = GuardedBuffer(
      count: needs.savedPerMicrobatch * wave.microbatches.count + needs.savedPerImage * wave.images)
    scratch = GuardedBuffer(count: needs.scratch)
    output = inPlace ? inputs[0] : GuardedBuffer(count: wave.images * outputShape.blockedCount)
  }

  private lazy var forwardPass = ForwardPass(
    wave: wave, mode: mode, kernels: kernels, inputShapes: inputShapes, outputShape: outputShape,
    inputs: inputs.map { UnsafePointer($0.pointer) }, inputIsPlanar: inputIsPlanar, output: output.pointer,
    parameters: parameters.map { UnsafePointer($0.pointer) },
    statistics: statistics.map { UnsafePointer($0.pointer) }, prepared: prepared.pointer,
    saved: saved.pointer, scratch: scratch.pointer, pooling: pooling)

  /// The output, (N, C, H, W).
  func forward() -> Tensor {
    layer.prepare(
      prepared.pointer, parameters: parameters.map { UnsafePointer($0.pointer) }, inputs: inputShapes,
      mode: .training, kernels: kernels)
    checkGuards("prepare", [])
    layer.forward(forwardPass)
    checkGuards("forward", [])
    if !inPlace { checkInputs("forward") }
    checkPadding("y", output.values, outputShape)
    return output.values.nchw(images: wave.images, outputShape)
  }

  /// A leaf for each microbatch, with what the running statistics are to be updated with.
  func batchStatistics() -> [LayerHarness.Leaf] {
    wave.microbatches.indices.map { microbatch in
      guard mode == .training else { return LayerHarness.Leaf() }
      let arrays = statisticDeclarations.map(GuardedBuffer.init(roomFor:))
      scratch.poison()
      layer.batchStatistics(forwardPass, microbatch: microbatch, into: arrays.map(\.pointer))
      checkGuards("batchStatistics", arrays)
      return LayerHarness.Leaf(batchStatistics: unpacked(arrays, statisticDeclarations))
    }
  }

  /// The gradients, (N, C, H, W), of the inputs that are wanted, and of the parameters by microbatch.
  func backward(from outputGradient: Tensor, wanted: [Bool]) -> (inputs: [Tensor?], parameters: [[Tensor]]) {
    let y = GuardedBuffer(output.values)
    let dy = GuardedBuffer(outputGradient.blocked)
    let x = original.map(GuardedBuffer.init)
    if !needs.backwardReadsOutput { y.poison() }
    if !needs.backwardReadsInput { x.forEach { $0.poison() } }
    let dx: [GuardedBuffer?] = inputShapes.indices.map { index in
      guard wanted[index] else { return nil }
      if inPlace && index == 0 { return dy }
      return GuardedBuffer(count: wave.images * inputShapes[index].blockedCount)
    }
    let pass = BackwardPass(
      wave: wave, kernels: kernels, inputShapes: inputShapes, outputShape: outputShape,
      inputs: x.map { UnsafePointer($0.pointer) }, inputIsPlanar: inputIsPlanar, output: y.pointer,
      parameters: parameters.map { UnsafePointer($0.pointer) }, prepared: prepared.pointer,
      outputGradient: dy.pointer, inputGradients: dx.map { $0?.pointer }, saved: saved.pointer,
      scratch: scratch.pointer, pooling: pooling)
    let arrays = wave.microbatches.indices.map { microbatch -> [GuardedBuffer] in
      guard !parameterDeclarations.isEmpty else { return [] }
      let gradients = parameterDeclarations.map(GuardedBuffer.init(roomFor:))
      scratch.poison()
      layer.backwardParameters(pass, microbatch: microbatch, gradients: gradients.map(\.pointer))
      checkGuards("backwardParameters", x + gradients + [y, dy])
      return gradients
    }
    let leaves = arrays.map { unpacked($0, parameterDeclarations) }
    // The pass has their pointers.
    withExtendedLifetime((x, y, dy, dx)) {
      if !parameterDeclarations.isEmpty { checkTree(pass, of: arrays) }
    }
    scratch.poison()
    layer.backwardData(pass)
    checkGuards("backwardData", x + dx.compactMap(\.self) + [y, dy])
    for (dx, shape) in zip(dx, inputShapes) { if let dx { checkPadding("dx", dx.values, shape) } }
    withExtendedLifetime((x, y, dy, dx)) {
      if needs.addsToInputGradient, !inPlace, let dx = dx[0] { checkSum(pass, of: dx.values) }
      if needs.leavesInputGradient, !inPlace, let dx = dx[0] {
        checkPartsOfInputGradient(pass, of: dx.values)
      }
      if needs.partOfOutputGradient > 0 { checkPartsOfOutputGradient(pass, dy.values, give: arrays) }
    }
    return (zip(dx, inputShapes).map { $0?.values.nchw(images: wave.images, $1) }, leaves)
  }

  /// Where the layer adds up the gradients of microbatches by itself: the bits of adding up the leaves.
  private func checkTree(_ pass: BackwardPass, of leaves: [[GuardedBuffer]]) {
    let sums = parameterDeclarations.map(GuardedBuffer.init(roomFor:))
    scratch.poison()
    guard
      layer.sumParameterGradients(
        pass, microbatches: wave.microbatches.indices, into: sums.map(\.pointer))
    else { return }
    checkGuards("sumParameterGradients", sums)
    func sum(_ microbatches: Range<Int>, _ array: Int) -> [Float] {
      guard microbatches.count > 1 else { return leaves[microbatches.lowerBound][array].values }
      var left = 1
      while 2 * left < microbatches.count { left *= 2 }
      let border = microbatches.lowerBound + left
      return zip(sum(microbatches.lowerBound..<border, array), sum(border..<microbatches.upperBound, array))
        .map { $0 + $1 }
    }
    for (array, got) in sums.enumerated()
    where zip(got.values, sum(wave.microbatches.indices, array)).contains(where: {
      $0.bitPattern << 1 != $1.bitPattern << 1
    }) {
      Issue.record(
        "\(layer.kind) adds up \(parameterDeclarations[array].name) otherwise than the tree of its leaves")
    }
  }

  /// Where the layer can leave dx to its reader: image by image, the bits that `backwardData` wrote.
  private func checkPartsOfInputGradient(_ pass: BackwardPass, of whole: [Float]) {
    guard let layer = layer as? any InputGradientInParts else {
      Issue.record("\(layer.kind) leaves the gradient of its input, and doesn't say how to get it")
      return
    }
    var pass = pass
    pass.inputGradients[0] = nil
    for microbatch in wave.microbatches.indices where !parameterDeclarations.isEmpty {
      let gradients = parameterDeclarations.map(GuardedBuffer.init(roomFor:))
      withExtendedLifetime(gradients) {
        layer.backwardParameters(pass, microbatch: microbatch, gradients: gradients.map(\.pointer))
      }
    }
    layer.backwardData(pass)
    let (size, blocks) = (inputShapes[0].area * 16, inputShapes[0].blocks)
    for (microbatch, images) in wave.microbatches.enumerated() {
      for image in images {
        let part = GuardedBuffer(count: blocks * size)
        layer.writeInputGradient(
          pass, microbatch: microbatch, images: image..<(image + 1), into: part.pointer)
        checkGuards("writeInputGradient", [part])
        let expected = (0..<blocks).flatMap { block in
          whole[((block * wave.images + image) * size)...].prefix(size)
        }
        if zip(part.values, expected).contains(where: { $0.bitPattern << 1 != $1.bitPattern << 1 }) {
          Issue.record("\(layer.kind) gives another gradient of image \(image) by itself")
        }
      }
    }
  }

  /// Where the layer can ask for parts of dy: the gradients that it gives with the whole.
  private func checkPartsOfOutputGradient(_ pass: BackwardPass, _ dy: [Float], give leaves: [[GuardedBuffer]])
  {
    let (size, blocks, all) = (outputShape.area * 16, outputShape.blocks, wave.images)
    let scratch = GuardedBuffer(count: needs.scratch + needs.partScratch)
    var pass = pass
    pass.scratch = scratch.pointer
    pass.partOfOutputGradient = { _, images, gradient in
      for block in 0..<blocks {
        for (number, image) in images.enumerated() {
          for place in 0..<size {
            gradient[(block * images.count + number) * size + place] =
              dy[(block * all + image) * size + place]
          }
        }
      }
    }
    for microbatch in wave.microbatches.indices {
      let gradients = parameterDeclarations.map(GuardedBuffer.init(roomFor:))
      layer.backwardParameters(pass, microbatch: microbatch, gradients: gradients.map(\.pointer))
      checkGuards("backwardParameters by parts", gradients + [scratch])
      for (got, expected) in zip(gradients, leaves[microbatch]) {
        let largest = expected.values.reduce(0) { max($0, abs($1)) }
        if zip(got.values, expected.values).contains(where: { abs($0 - $1) > 2e-6 * largest }) {
          Issue.record("\(layer.kind) gives other gradients from parts of dy")
        }
      }
    }
  }

  /// Backward once more into a gradient that holds the input: it must grow by `part`, bit by bit.
  private func checkSum(_ pass: BackwardPass, of part: [Float]) {
    let sum = GuardedBuffer(original[0])
    var pass = pass
    pass.inputGradients[0] = sum.pointer
    pass.addsToInputGradient = true
    for microbatch in wave.microbatches.indices where !parameterDeclarations.isEmpty {
      let gradients = parameterDeclarations.map(GuardedBuffer.init(roomFor:))
      withExtendedLifetime(gradients) {
        layer.backwardParameters(pass, microbatch: microbatch, gradients: gradients.map(\.pointer))
      }
    }
    layer.backwardData(pass)
    checkGuards("backwardData that adds", [sum])
    let expected = zip(original[0], part).map { $0 + $1 }
    if zip(sum.values, expected).contains(where: { $0.bitPattern << 1 != $1.bitPattern << 1 }) {
      Issue.record("\(layer.kind) doesn't add to the gradient of its input what it writes otherwise")
    }
  }

  private func unpacked(_ arrays: [GuardedBuffer], _ declared: [ArrayDeclaration]) -> [Tensor] {
    zip(arrays, declared).map { array, declaration in
      let values = declaration.storage.unpack(array.pointer, declaration.shape)
      let repacked = GuardedBuffer(packing: Tensor(shape: declaration.shape, values: values), as: declaration)
      if zip(array.values, repacked.values).contains(where: { $0.bitPattern << 1 != $1.bitPattern << 1 }) {
        Issue.record("\(layer.kind) leaves something in the padding of \(declaration.name)")
      }
      return Tensor(shape: declaration.shape, values: values)
    }
  }

  private func checkGuards(_ call: String, _ more: [GuardedBuffer]) {
    let all = inputs + parameters + statistics + [prepared, saved, scratch, output] + more
    for buffer in all where !buffer.isIntact {
      Issue.record("\(layer.kind).\(call) wrote outside a block of \(buffer.count) floats")
    }
  }

  private func checkInputs(_ call: String) {
    for (input, values) in zip(inputs, original)
    where zip(input.values, values).contains(where: { $0.bitPattern != $1.bitPattern }) {
      Issue.record("\(layer.kind).\(call) changed its input")
    }
  }

  private func checkPadding(_ name: String, _ values: [Float], _ shape: FeatureShape) {
    let lanes = shape.channels % 16
    guard lanes > 0 else { return }
    let last = values.suffix(wave.images * shape.area * 16)
    if last.enumerated().contains(where: { $0 % 16 >= lanes && $1 != 0 }) {
      Issue.record("\(layer.kind): \(name) \(shape) isn't zero in lanes of channels that don't exist")
    }
  }
}

/// Floats on a 64-byte border between guard words; poisoned (NaN) until written.
final class GuardedBuffer {
  let count: Int
  private let memory: FloatBuffer
  private static let margin = 16
  private static let guardWord: UInt32 = 0xC0FF_EE11

  init(count: Int) {
    self.count = count
    memory = FloatBuffer(count: count + 2 * Self.margin)
    for index in guardIndices { memory[index] = Float(bitPattern: Self.guardWord) }
    poison()
  }

  convenience init(_ values: [Float]) {
    self.init(count: values.count)
    pointer.update(from: values, count: values.count)
  }

  /// Room for an array, padded to whole vectors as a flat layout pads it.
  convenience init(roomFor declaration: ArrayDeclaration) {
    self.init(count: (declaration.storage.count(of: declaration.shape) + 15) / 16 * 16)
  }

  convenience init(packing array: Tensor, as declaration: ArrayDeclaration) {
    self.init(roomFor: declaration)
    pointer.update(repeating: 0, count: count)
    declaration.storage.pack(array.values, declaration.shape, into: pointer)
  }

  var pointer: UnsafeMutablePointer<Float> { memory.pointer + Self.margin }
  var values: [Float] { Array(UnsafeBufferPointer(start: pointer, count: count)) }
  var isIntact: Bool { guardIndices.allSatisfy { memory[$0].bitPattern == Self.guardWord } }

  func poison() { pointer.update(repeating: .nan, count: count) }

  private var guardIndices: [Int] {
    Array(0..<Self.margin) + Array((Self.margin + count)..<(2 * Self.margin + count))
  }
}
