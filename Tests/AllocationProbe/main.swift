// Takes optimizer steps while Tests/AllocationCounter counts what each thread allocates, for scripts/test-allocations:
//   LD_PRELOAD=allocations.so allocation-probe MODEL LANES CHECKPOINTING STATISTICS [TEACHER]
// prints a line for each thread that allocated after the first step: `main 12` or `lane 34`, calls in a step.
import Collectives
import Foundation
import Glibc
import Layers
import Models
import Tensors
import Training

func function<Type>(_ name: String, _: Type.Type) throws -> Type {
  guard let symbol = dlsym(nil, name) else { throw LayerError("allocations.so isn't loaded: no \(name)") }
  return unsafeBitCast(symbol, to: Type.self)
}

func run() throws {
  let arguments = CommandLine.arguments
  guard arguments.count == 5 || arguments.count == 6, let lanes = Int(arguments[2]),
    let checkpointing = ActivationCheckpointing(rawValue: arguments[3]),
    let statistics = BatchStatistics(rawValue: arguments[4])
  else {
    throw LayerError("usage: allocation-probe MODEL LANES none|blocks microbatch|global_batch [TEACHER]")
  }
  let begin = try function("allocations_begin", (@convention(c) () -> Void).self)
  let end = try function(
    "allocations_end", (@convention(c) (Int32, UnsafeMutablePointer<Int32>) -> Int).self)
  GEMM.useOneThread()
  let communicator = try Communicator.start(environment: ProcessInfo.processInfo.environment)
  let (microbatches, images, classes, steps) = (8, 2, 5, 20)
  let input = FeatureShape(channels: 3, height: 32, width: 32)
  let network = try ModelZoo.network(arguments[1], input: input, options: .init(classes: classes))
    .takingStatistics(over: statistics).fused()
  let layout = JobLayout(
    rank: communicator.rank, lanes: Array(repeating: lanes, count: communicator.size),
    order: communicator.ranksInNodeOrder)
  var settings = TrainingStep.Settings(
    layout: layout, microbatchCounts: [microbatches], microbatch: images, wave: 0,
    loss: SoftmaxCrossEntropy(classes: classes), optimizer: OptimizerConfig(), kernels: .detected)
  settings.checks = ChecksConfig(memory: true, recomputeEvery: 0)
  settings.checkpointing = checkpointing
  if arguments.count == 6 {
    let teacher = try ModelZoo.network(arguments[5], input: input, options: .init(classes: classes))
    settings.teacher = Teacher(
      teacher, values: teacher.initialValues(seed: 1),
      distillation: Distillation(temperature: 4, weight: 0.5),
      kernels: .detected)
  }
  let step = try TrainingStep(
    network, initial: network.initialValues(seed: 0), settings: settings, communicator: communicator,
    team: ThreadTeam(count: lanes))
  let local = step.run(ofStepWith: microbatches).map { number in
    let pixels = FloatBuffer(count: images * input.count)
    for index in 0..<pixels.count { pixels[index] = Float((index * 31 + number) % 17) / 17 }
    return LoadedMicrobatch(
      pixels: pixels, labels: (0..<images).map { Int32(($0 + number) % classes) },
      place: BatchPlace(seed: 0, epoch: 0, firstPosition: images * number))
  }
  func take(_ number: Int) throws {
    _ = try step.run(
      StepBatch(
        epoch: 0, step: number, microbatches: microbatches, images: microbatches * images,
        denominator: Float(microbatches * images), local: local),
      learningRate: 0.001)
  }
  try take(0)
  begin()
  for number in 1...steps { try take(number) }
  var threads: Int32 = 0
  let calls = [end(0, &threads)] + (1..<max(1, threads)).map { end($0, &threads) }
  try step.settle()
  for (thread, count) in calls.enumerated() where thread == 0 || count > 0 {
    print(thread == 0 ? "main" : "lane", Double(count) / Double(steps))
  }
  try communicator.finish()
}

try run()
