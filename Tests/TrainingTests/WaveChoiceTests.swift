import Layers
import Models
import Testing
import Training

@Suite struct WaveChoiceTests {
  /// What lanes take in flight of four microbatches of 16 images of 64×64.
  private func wave(
    _ model: String, given: Int = 0, lanes: Int = 1, nodes: Int = 1,
    statisticsOver: BatchStatistics = .microbatch
  ) throws -> Int {
    let network = try ModelZoo.network(
      model, input: FeatureShape(channels: 3, height: 64, width: 64),
      options: .init(classes: 8)
    ).takingStatistics(over: statisticsOver).fused()
    return TrainingStep.Settings(
      layout: .alone(lanes: lanes), microbatchCounts: [3, 4], microbatch: 16, wave: given,
      loss: SoftmaxCrossEntropy(classes: 8), optimizer: OptimizerConfig(), kernels: .detected
    ).waveInFlight(network, nodes: nodes)
  }

  @Test func networksOfManyActivationsGoOneByOne() throws {
    for model in ["lenet5", "mobilenet_v2", "densenet121"] { #expect(try wave(model) == 1, "\(model)") }
    for model in ["seed_cnn", "resnet18", "vgg11_bn"] { #expect(try wave(model) == 0, "\(model)") }
  }

  @Test func allAreInFlightWhereTheyMustOrMay() throws {
    #expect(try wave("mobilenet_v2", given: 2) == 2)
    #expect(try wave("mobilenet_v2", nodes: 2) == 0)
    #expect(try wave("mobilenet_v2", lanes: 4) == 0)
    #expect(try wave("mobilenet_v2", statisticsOver: .globalBatch) == 0)
  }
}
