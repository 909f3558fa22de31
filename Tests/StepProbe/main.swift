// Runs optimizer steps from given weights on given images and writes down gradients and losses, for
// scripts/peers/compare_steps.py:  step-probe IN.safetensors OUT.safetensors CONFIG.yaml STEPS
// For scripts/peers/compare_zoo.py the class scores in evaluation mode, and loss and gradients of one step:
// step-probe IN.safetensors OUT.safetensors CONFIG.yaml scores
import Collectives
import Layers
import Models
import Tensors
import Training

/// Parameters and running statistics of a network, by name from a file.
func values(of network: Network, from given: Safetensors.Reader) throws -> FloatBuffer {
  let values = FloatBuffer(count: network.layout.extent)
  for entry in network.layout.entries {
    let tensor = try given.tensor("weights.\(entry.name)")
    guard tensor.shape == entry.shape else {
      throw LayerError("weights.\(entry.name) expects shape \(entry.shape), got \(tensor.shape)")
    }
    entry.fill(values.pointer, with: tensor.values)
  }
  return values
}

/// (N, classes) in evaluation mode.
func scores(
  _ network: Network, _ values: FloatBuffer, _ local: [LoadedMicrobatch], _ kernels: InstructionSet
) -> Tensor {
  let prepared = PreparedWeights(network, values: values, mode: .inference, kernels: kernels)
  prepared.prepare(part: 0, of: 1)
  var scores: [Float] = []
  for part in local {
    let plan = Plan(network, images: part.images, mode: .inference, kernels: kernels)
    let wave = WaveInFlight(plan, values: values, prepared: prepared)
    wave.load([part.part])
    for node in network.nodes.indices { wave.forward(node: node) }
    for image in 0..<part.images {
      scores += (0..<network.classes).map { wave.logits[($0 / 16 * part.images + image) * 16 + $0 % 16] }
    }
  }
  return Tensor(shape: [scores.count / network.classes, network.classes], values: scores)
}

func run() throws {
  let arguments = CommandLine.arguments
  let scored = arguments.last == "scores"
  guard arguments.count == 5, let steps = scored ? 1 : Int(arguments[4]) else {
    throw LayerError("usage: step-probe IN.safetensors OUT.safetensors CONFIG.yaml STEPS | scores")
  }
  let given = try Safetensors.Reader(path: arguments[1])
  let config = try ConfigLoader.load(file: arguments[3]).config
  let images = try given.tensor("images")
  let labels = try given.integers("labels").map { Int32($0) }
  let shape = images.shape
  let input = FeatureShape(channels: shape[1], height: shape[2], width: shape[3])
  GEMM.useOneThread()
  let kernels = InstructionSet.detected

  let classes = Int(labels.max() ?? 0) + 1
  let described = try ModelZoo.network(
    config.model.name, input: input,
    options: ModelZoo.Options(
      classes: classes, dropout: config.model.dropout.value,
      stochasticDepth: config.model.stochasticDepth.value))
  let network = try described.computing(by: config.engine.convolution, in: config.engine.precision).fused()

  let size = config.training.microbatch
  let local = stride(from: 0, to: labels.count, by: size).map { start in
    let count = min(size, labels.count - start)
    let pixels = FloatBuffer(count: count * input.count)
    for n in 0..<count {
      for c in 0..<input.channels {
        for p in 0..<input.area {
          pixels[(c * count + n) * input.area + p] =
            images.values[((start + n) * input.channels + c) * input.area + p]
        }
      }
    }
    return LoadedMicrobatch(
      pixels: pixels, labels: Array(labels[start..<(start + count)]),
      place: BatchPlace(seed: 0, epoch: 0, firstPosition: start))
  }
  let loss = try LossSettings(config.loss, labels: labels.map { Int($0) }, classes: classes)
  let step = try TrainingStep(
    network, initial: try values(of: network, from: given),
    settings: TrainingStep.Settings(
      layout: .alone(lanes: 1), microbatchCounts: [local.count], microbatch: size, wave: config.training.wave,
      loss: loss.function, optimizer: config.optimizer, kernels: kernels),
    communicator: try Communicator.start(environment: [:]), team: ThreadTeam(count: 1))

  var output = Safetensors.Writer()
  if scored {
    // As validation computes them, and as `predict` does.
    let (whole, folded) = (described.fused(), FoldedNetwork(described))
    output.add("scores", scores(whole, try values(of: whole, from: given), local, kernels))
    let values = folded.values(from: try values(of: described, from: given))
    output.add("folded", scores(folded.network, values, local, kernels))
  }
  var losses: [Float] = []
  for number in 0..<steps {
    let result = try step.run(
      StepBatch(
        epoch: 0, step: number, microbatches: local.count, images: labels.count,
        denominator: loss.function.denominator(of: labels), local: local),
      learningRate: config.optimizer.learningRate)
    losses.append(Float(result.meanLoss))
    if number == 0 {
      for entry in network.layout.parameters {
        output.add("gradient.\(entry.name)", Tensor(shape: entry.shape, values: step.gradient(of: entry)))
      }
    }
  }
  output.add("loss", Tensor(shape: [steps], values: losses))
  // Where only one step is looked at, its gradients say it all.
  for entry in network.layout.entries where !scored {
    let values = entry.array(in: step.values.pointer)
    output.add("weights.\(entry.name)", Tensor(shape: entry.shape, values: values))
  }
  try output.write(to: arguments[2])
}

try run()
