import Collectives
import Foundation
import Layers
import Models
import Tensors
import Testing
import Training

@Suite struct TransferTests {
  private static func network(_ name: String = "resnet18") throws -> Network {
    try ModelZoo.network(
      name, input: FeatureShape(channels: 3, height: 16, width: 16), options: .init(classes: StepCase.classes)
    )
  }

  private static func config(_ lines: String...) throws -> RunConfig {
    try ConfigLoader.load(text: lines.joined(separator: "\n"), name: "test.yaml").config
  }

  private static func plan(_ text: String, epochs: Int = 10) throws -> FreezingPlan {
    try FreezingPlan(
      config("training: {epochs: \(epochs)}", "transfer: \(text)").transfer, network: network())
  }

  private static func modules(_ names: Set<String>) -> Set<String> {
    Set(names.map { String($0.split(separator: ".")[0]) })
  }

  @Test func stagesFollowTheConfiguration() throws {
    #expect(try Self.plan("{}").stages == [FreezingPlan.Stage(epoch: 0, frozen: [])])
    let plan = try Self.plan(
      "{freeze: [conv1, bn1, 'layer?.*'], unfreeze: [{epoch: 2, layers: [layer4, '*.bn1']}, {epoch: 5, layers: all}]}"
    )
    #expect(
      Self.modules(plan.stage(ofEpoch: 1).frozen) == ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"])
    let second = plan.stage(ofEpoch: 4).frozen
    #expect(
      second.contains("layer1.0.conv1") && !second.contains("layer1.0.bn1")
        && !second.contains("layer4.1.conv2"))
    #expect(plan.stage(ofEpoch: 5).frozen.isEmpty && plan.stage(ofEpoch: 9).frozen.isEmpty)
    #expect(
      try Self.plan("{freeze: 3}").stages[0].frozen.filter { $0.hasPrefix("layer1") }
        == Self.plan("{freeze: [layer1]}").stages[0].frozen)
    #expect(try Self.plan("{freeze: all_but_head}").stages[0].frozen.count == 40)
  }

  @Test(
    arguments: [
      ("{freeze: [layr4]}", "transfer.freeze: no array of the network fits \"layr4\"; its blocks are conv1"),
      ("{freeze: [layer4.0.conv]}", "(did you mean \"layer4.0.conv1\"?)"),
      ("{freeze: ['*.bn1.weight']}", "fits layer1.0.bn1.weight, but not all arrays of layer1.0.bn1"),
      ("{freeze: ['*']}", "leaves nothing to train"), ("{freeze: 10}", "fewer than the 10 blocks"),
      (
        "{freeze: [layer1], unfreeze: [{epoch: 1, layers: [layer2]}]}",
        "transfer.unfreeze[0].layers: nothing that layer2 fits is frozen by then"
      ),
      ("{freeze: -1}", "test.yaml:2: transfer.freeze expects at least 0, got -1"),
      (
        "{freeze: some}",
        "test.yaml:2: transfer.freeze expects a list of names, a number of blocks, or all_but_head"
      ),
      ("{unfreeze: [{epoch: 1, layers: all}]}", "expects something in transfer.freeze"),
      ("{freeze: 2, unfreeze: [{epoch: 12, layers: all}]}", "before training.epochs (10), got 12"),
      ("{freeze: 2, unfreeze: [{epoch: 2, layer: all}]}", "is an unknown key (expects one of epoch, layers)"),
      ("{batch_norm: eval}", "transfer.batch_norm expects one of frozen, train; got \"eval\""),
    ])
  func whatCannotBeFrozenIsNamed(text: String, message: String) throws {
    #expect {
      _ = try Self.plan(text)
    } throws: {
      "\($0)".contains(message)
    }
  }

  @Test func ratesOfGroupsAndLayersMultiply() throws {
    let network = try Self.network()
    let config = try Self.config(
      "optimizer:", "  layer_decay: 0.5", "  groups:", "  - {names: ['*.bn1', fc.bias], weight_decay: 0}",
      "  - {names: [layer4], rate_scale: 0.1}")
    let freezing = try Self.plan("{freeze: [layer3], unfreeze: [{epoch: 2, layers: all}]}")
    let rules = try ParameterRules(
      config.optimizer, freezing: freezing, network: network, stepsPerEpoch: 7)
    #expect(rules["fc.weight"] == ParameterRule())
    #expect(rules["fc.bias"] == ParameterRule(weightDecay: 0))
    #expect(rules["layer4.1.conv2.weight"] == ParameterRule(rateScale: 0.1 * 0.5))
    #expect(rules["layer4.0.bn1.weight"] == ParameterRule(rateScale: 0.25, weightDecay: 0))
    #expect(rules["layer3.1.conv1.weight"] == ParameterRule(rateScale: 0.125, firstStep: 14))
    #expect(rules["conv1.weight"].rateScale == pow(0.5, 9))
    #expect(
      try Self.config("optimizer: {groups: [{names: [fc], rate_scale: 2.0}]}").optimizer.groups
        == [ParameterGroup(names: ["fc"], rateScale: 2)])
    for (text, message) in [
      ("{names: [head]}", "optimizer.groups[0].names: no array of the network fits \"head\""),
      ("{names: []}", "optimizer.groups[0].names expects patterns of names"),
      ("{names: [fc], lr: 2}", "is an unknown key (expects one of names, rate_scale, weight_decay)"),
      ("{names: [fc], rate_scale: -1}", "optimizer.groups[0].rate_scale expects at least 0"),
    ] {
      #expect {
        let config = try Self.config("optimizer: {groups: [\(text)]}")
        _ = try ParameterRules(config.optimizer, freezing: freezing, network: network, stepsPerEpoch: 7)
      } throws: {
        "\($0)".contains(message)
      }
    }
  }

  /// Of two equal arrays with the same gradients, the one that is trained from step 5 on moves in steps 6 … as the
  /// other did in steps 1 …, times its rate.
  @Test(arguments: [OptimizerConfig.Name.sgd, .adam, .adamw, .rmsprop, .lars, .lamb])
  func anUnfrozenArrayBeginsAsANewOne(name: OptimizerConfig.Name) throws {
    let layout = FlatLayout(
      parameters: [.init("a.weight", [64], .weight), .init("b.weight", [64], .weight)], statistics: [])
    let rules = try Self.lateRules()
    var config = OptimizerConfig()
    (config.name, config.momentum, config.weightDecay) = (name, 0.9, 0.01)
    func update(_ rules: ParameterRules, from first: Int) throws -> [Float] {
      let values = FloatBuffer(count: layout.extent)
      let update = WeightUpdate(
        config, rules: rules, layout: layout, slices: [0..<layout.extent], values: values,
        communicator: try Communicator.start(environment: [:]), team: ThreadTeam(count: 1), kernels: .detected
      )
      for place in 0..<128 { values[place] = 1 + Float(place % 64) / 64 }
      for step in 0..<3 {
        let gradients = FloatBuffer(count: layout.extent)
        for place in 0..<128 { gradients[place] = sin(Float(step * 7 + place % 64)) }
        try update.applyAll(
          values: values, gradients: gradients, learningRate: 0.01, stepNumber: first + step + 1)
      }
      return layout.parameters[1].array(in: values.pointer)
    }
    #expect(try update(rules, from: 5) == update(.none, from: 0))
    #expect(try update(.none, from: 5) == update(.none, from: 0) || ![.sgd, .rmsprop, .lars].contains(name))
  }

  /// `b` is trained from step 5 on.
  private static func lateRules() throws -> ParameterRules {
    var builder = NetworkBuilder(input: FeatureShape(channels: 4))
    try builder.add("b", Linear(outputFeatures: 4))
    try builder.add("a", Linear(outputFeatures: 2))
    var transfer = TransferConfig()
    (transfer.freeze, transfer.unfreeze) = (.layers(["b"]), [Unfreezing(epoch: 1, layers: .all)])
    let network = try builder.build()
    return try ParameterRules(
      OptimizerConfig(), freezing: FreezingPlan(transfer, network: network), network: network,
      stepsPerEpoch: 5)
  }
}

/// Whole steps of networks that are frozen in part.
@Suite struct FrozenStepTests {
  private static let frozen: Set<String> = ["block1.conv", "block1.norm", "block3.conv", "block3.norm"]

  private func frozen(_ example: StepCase, _ batchNorm: FrozenBatchNorm) -> StepCase {
    var frozen = example
    frozen.network = example.network.freezing(Self.frozen, batchNorm: batchNorm)
    frozen.initial = frozen.network.initialValues(seed: 3)
    return frozen
  }

  @Test func gradientsOfWhatIsTrainedAreThoseOfTheWholeNetwork() throws {
    let whole = try StepCase("seed_cnn", sizes: [4, 4, 3])
    let part = frozen(whole, .train)
    let (a, b) = (try whole.step(), try part.step())
    let results = (
      try a.run(whole.batch(), learningRate: 0.5), try b.run(part.batch(), learningRate: 0.5)
    )
    #expect(results.0.meanLoss == results.1.meanLoss && results.0.correct == results.1.correct)
    for entry in part.network.layout.entries {
      let same = try #require(whole.network.layout.entries.first { $0.name == entry.name })
      let values = entry.array(in: b.values.pointer)
      if part.network.layout.constants.contains(where: { $0.name == entry.name }) {
        #expect(values == entry.array(in: part.initial.pointer), "\(entry.name)")
        #expect(values != same.array(in: a.values.pointer), "\(entry.name)")
      } else {
        #expect(values == same.array(in: a.values.pointer), "\(entry.name)")
      }
    }
    #expect(b.reducer.buckets.extent < a.reducer.buckets.extent)
    #expect(b.memory.gradients < a.memory.gradients && b.memory.activations < a.memory.activations)
  }

  @Test(arguments: FrozenBatchNorm.allCases, [BatchStatistics.microbatch, .globalBatch])
  func lanesAndWavesGiveTheSameBits(batchNorm: FrozenBatchNorm, statistics: BatchStatistics) throws {
    let example = frozen(
      try StepCase("seed_cnn", sizes: [3, 3, 3, 2], statisticsOver: statistics), batchNorm)
    func values(lanes: Int, wave: Int) throws -> [Float] {
      var settings = example.settings(lanes: lanes, wave: wave)
      settings.checks = ChecksConfig(memory: true, recomputeEvery: 2)
      let step = try example.step(settings)
      for number in 0..<3 { _ = try step.run(example.batch(step: number), learningRate: 0.1) }
      try step.settle()
      return step.values.values
    }
    let expected = try values(lanes: 1, wave: 0)
    let constants = example.network.layout.constants
    #expect(constants.count == (batchNorm == .frozen ? 12 : 8))
    for entry in constants {
      #expect(Array(expected[entry.range]) == Array(example.initial.values[entry.range]), "\(entry.name)")
    }
    for lanes in 1...4 {
      for wave in statistics == .globalBatch ? [0] : [0, 1, 2] {
        #expect(try values(lanes: lanes, wave: wave) == expected, "\(lanes) lanes, wave \(wave)")
      }
    }
  }

  /// Values that somebody puts in the place of frozen ones are used: what was made ready of the old ones is not.
  @Test func replacedConstantsAreUsed() throws {
    let example = frozen(try StepCase("seed_cnn", sizes: [4, 4]), .frozen)
    let step = try example.step()
    let first = try step.run(example.batch(), learningRate: 0).meanLoss
    let other = example.network.initialValues(seed: 4)
    try step.replaceValues(with: other)
    let second = try step.run(example.batch(step: 1), learningRate: 0).meanLoss
    var fresh = example
    fresh.initial = other
    #expect(try fresh.step().run(example.batch(), learningRate: 0).meanLoss == second)
    #expect(first != second)
  }
}
