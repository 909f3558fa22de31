// Runs optimizer steps from given weights on given images and writes down gradients and losses, for
// scripts/peers/compare_steps.py:  step-probe IN.safetensors OUT.safetensors CONFIG.yaml STEPS
import Collectives
import Layers
import Models
import Tensors
import Training

func run() throws {
  let arguments = CommandLine.arguments
  guard arguments.count == 5, let steps = Int(arguments[4]) else {
    throw LayerError("usage: step-probe IN.safetensors OUT.safetensors CONFIG.yaml STEPS")
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
  let network = try ModelZoo.network(
    config.model.name, input: input,
    options: ModelZoo.Options(
      classes: classes, dropout: config.model.dropout.value,
      stochasticDepth: config.model.stochasticDepth.value)
  ).computing(by: config.engine.convolution, in: config.engine.precision).fused()
  let values = network.initialValues(seed: 0)
  for entry in network.layout.entries {
    let tensor = try given.tensor("weights.\(entry.name)")
    guard tensor.shape == entry.shape else {
      throw LayerError("weights.\(entry.name) expects shape \(entry.shape), got \(tensor.shape)")
    }
    entry.fill(values.pointer, with: tensor.values)
  }

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
    network, initial: values,
    settings: TrainingStep.Settings(
      layout: .alone(lanes: 1), microbatchCounts: [local.count], microbatch: size, wave: config.training.wave,
      loss: loss.function, optimizer: config.optimizer, kernels: kernels),
    communicator: try Communicator.start(environment: [:]), team: ThreadTeam(count: 1))

  var output = Safetensors.Writer()
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
  for entry in network.layout.entries {
    let values = entry.array(in: step.values.pointer)
    output.add("weights.\(entry.name)", Tensor(shape: entry.shape, values: values))
  }
  try output.write(to: arguments[2])
}

try run()
