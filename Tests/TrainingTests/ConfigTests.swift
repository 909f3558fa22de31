import Foundation
import Models
import Tensors
import Testing
import Training

@Suite struct ConfigTests {
  private static let reference = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../configs/reference.yaml").standardizedFileURL.path

  private func load(_ text: String, _ overrides: String...) throws -> RunConfig {
    try ConfigLoader.load(text: text, name: "run.yaml", overrides: overrides).config
  }

  /// What the loader says about a text and overrides that it must refuse.
  private func refusal(_ text: String, _ overrides: String...) -> String {
    do {
      _ = try ConfigLoader.load(text: text, name: "run.yaml", overrides: overrides)
      return "accepted"
    } catch {
      return error.description
    }
  }

  @Test func referenceStatesTheDefaults() throws {
    #expect(try ConfigLoader.load(file: Self.reference).config == RunConfig())
  }

  @Test func referenceHasEveryKeyOnceWithASentence() throws {
    let text = try String(contentsOfFile: Self.reference, encoding: .utf8)
    func keyLines(_ text: String) -> [String] {
      text.split(separator: "\n").map(String.init)
        .filter { !$0.trimmingCharacters(in: .whitespaces).hasPrefix("#") }
    }
    #expect(keyLines(text) == keyLines(try RunConfig().encodedYAML()))
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map {
      $0.trimmingCharacters(in: .whitespaces)
    }
    let groups = ["image:", "one_cycle:"]
    for (index, line) in lines.enumerated()
    where !line.isEmpty && !line.hasPrefix("#") && !groups.contains(line) {
      #expect(
        index > 0 && lines[index - 1].hasPrefix("#") && lines[index - 1].hasSuffix("."),
        "\(line) lacks a sentence")
    }
  }

  @Test func nothingWrittenIsTheDefault() throws {
    #expect(try load("") == RunConfig())
    #expect(try load("# only a remark\n") == RunConfig())
    #expect(try load("training:\n  # epochs: 3\ndata:\n") == RunConfig())
  }

  @Test func valuesAreLaidOverTheDefaults() throws {
    let config = try load(
      """
      training: {epochs: 20, batch: 64}
      optimizer:
        name: sgd
        learning_rate: 5e-2
        momentum: 0.9
      data:
        check: off
        path: 2024
        normalisation: {mean: [0.5, 0.5, 0.5], deviation: [1, 1, 1]}
      """, "training.epochs=3", "data.augmentation.vertical_flip=no", "model.classes=[a, b]")
    var expected = RunConfig()
    expected.training.epochs = 3
    expected.training.batch = 64
    expected.optimizer.name = .sgd
    expected.optimizer.learningRate = 0.05
    expected.optimizer.momentum = 0.9
    expected.data.check = .off
    expected.data.path = "2024"
    expected.data.normalisation.mean = [0.5, 0.5, 0.5]
    expected.data.normalisation.deviation = [1, 1, 1]
    expected.data.augmentation.verticalFlip = false
    expected.model.classes = ["a", "b"]
    #expect(config == expected)
  }

  /// Who asks for a small batch gets its microbatch; who asks for both gets what he asked for, or is told.
  @Test func theMicrobatchFitsTheBatchUnlessGiven() throws {
    #expect(try load("training: {batch: 8}").training.microbatch == 8)
    #expect(try load("training: {batch: 64}").training.microbatch == 16)
    #expect(try load("training: {batch: 64}", "training.batch=3").training.microbatch == 3)
    #expect(try load("training: {batch: 8, microbatch: 2}").training.microbatch == 2)
    #expect(
      refusal("training: {batch: 8, microbatch: 16}")
        == "run.yaml:1: training.microbatch expects at most training.batch (8), got 16")
  }

  @Test func theLearningRateFollowsTheBatch() throws {
    let given = "optimizer: {learning_rate: 0.25}\ntraining: {batch: 1024}\nschedule: "
    #expect(try load(given).scaledLearningRate == 0.25)
    #expect(try load(given + "{scaling: linear}").scaledLearningRate == 1)
    #expect(try load(given + "{scaling: square_root}").scaledLearningRate == 0.5)
    #expect(try load(given + "{scaling: linear, reference_batch: 2048}").scaledLearningRate == 0.125)
  }

  @Test func classWeightsAreAWordOrAList() throws {
    #expect(try load("loss: {class_weights: balanced}").loss.classWeights == .balanced)
    #expect(try load("loss: {class_weights: [1, 2.5]}").loss.classWeights == .listed([1, 2.5]))
    #expect(try load("loss: {class_weights: []}").loss.classWeights == .equal)
    #expect(
      refusal("loss:\n  class_weights: even")
        == "run.yaml:2: loss.class_weights expects \"balanced\" or a list of numbers, one for each class")
  }

  @Test func layersKeepTheirTreeAndTheirLines() throws {
    let text = """
      model:
        layers:
          - conv: {channels: 8, kernel: [3, 3], bias: false, slope: 0.5}
          - relu
          - name: head
            linear:
      """
    let loaded = try ConfigLoader.load(text: text, name: "run.yaml")
    let convolution = ConfigValue.map([
      "channels": .integer(8), "kernel": .list([.integer(3), .integer(3)]), "bias": .bool(false),
      "slope": .number(0.5),
    ])
    let expected = ConfigValue.list([
      .map(["conv": convolution]), .text("relu"), .map(["name": .text("head"), "linear": .null]),
    ])
    #expect(loaded.config.model.layers == expected)
    #expect(loaded.location(of: "model.layers[1]") == "run.yaml:4")
    #expect(loaded.location(of: "model.layers[2].linear.features") == "run.yaml:6")
    #expect(loaded.location(of: "training.epochs") == "default")
  }

  @Test func savedConfigurationReadsBack() throws {
    var config = RunConfig()
    config.optimizer.learningRate = 0.1 + 0.2
    config.optimizer.epsilon = 1e-8
    config.data.path = "a: b # \"c\" 'd' é"
    config.model.classes = ["off", "3", "", "neutrophil"]
    config.model.layers = .list([
      .map([
        "conv": .map([
          "channels": .integer(8), "a": .number(0.5), "z": .null, "m": .bool(true), "k": .text("x"),
        ])
      ]),
      .text("relu"),
    ])
    config.loss.classWeights = .listed([0.5, 1])
    config.data.check = .off
    config.schedule.milestones = [3, 5]
    let text = try config.encodedYAML()
    #expect(try load(text) == config)
    #expect(text.contains("\n  learning_rate: 0.30000000000000004\n"))
    #expect(try config.encodedYAML() == text)
    #expect(try config.hash() != RunConfig().hash())
  }

  @Test(arguments: [
    (
      "training:\n  epoch: 3",
      "run.yaml:2: unknown key \"training.epoch\" (did you mean \"training.epochs\"?)"
    ),
    ("seed: 1\nepochs: 3", "run.yaml:2: unknown key \"epochs\" (did you mean \"training.epochs\"?)"),
    (
      "optimizer: {lr: 3}",
      "run.yaml:1: unknown key \"optimizer.lr\" (did you mean \"optimizer.learning_rate\"?)"
    ),
    (
      "training: {batch-size: 3}",
      "run.yaml:1: unknown key \"training.batch-size\" (did you mean \"training.batch\"?)"
    ),
    ("trianing:\n  epochs: 3", "run.yaml:1: unknown key \"trianing\" (did you mean \"training\"?)"),
    ("log: {quietness: 3}", "run.yaml:1: unknown key \"log.quietness\" (expects one of log.every_steps)"),
    ("training:\n  epochs: many", "run.yaml:2: training.epochs expects a whole number, got \"many\""),
    ("training:\n  epochs: 3.5", "run.yaml:2: training.epochs expects a whole number, got 3.5"),
    ("training:\n  epochs:", "run.yaml:2: training.epochs expects a whole number, got nothing"),
    ("training:\n  epochs: [3]", "run.yaml:2: training.epochs expects a whole number, got a list"),
    ("training:\n\n  drop_last: 7", "run.yaml:3: training.drop_last expects true or false, got 7"),
    (
      "optimizer: {learning_rate: fast}", "run.yaml:1: optimizer.learning_rate expects a number, got \"fast\""
    ),
    ("training: 3", "run.yaml:1: training expects a section of keys, got 3"),
    ("- 3", "run.yaml:1: the configuration expects a section of keys, got a list"),
    ("seed: {a: 3}", "run.yaml:1: seed expects a whole number, got a section of keys"),
    ("data: {normalisation: {mean: 3}}", "run.yaml:1: data.normalisation.mean expects a list, got 3"),
    (
      "data:\n  normalisation:\n    mean:\n      - 0.5\n      - half",
      "run.yaml:5: data.normalisation.mean[1] expects a number, got \"half\""
    ),
    (
      "optimizer:\n  name: adagrad",
      "run.yaml:2: optimizer.name expects one of sgd, adam, adamw, rmsprop, lars, lamb; got \"adagrad\""
    ),
    ("training: {epochs: 3, epochs: 4}", "run.yaml:1: gives \"epochs\" twice in one section"),
  ])
  func misfitsAreRefusedWithLineAndKey(text: String, message: String) {
    #expect(refusal(text) == message)
  }

  @Test func brokenYAMLIsOneLine() {
    let message = refusal("seed: 1\ntraining:\n  epochs: [3\nlog: 4")
    #expect(message.hasPrefix("run.yaml:4: not YAML: "))
    #expect(!message.contains("\n"))
    #expect(refusal("seed: 1\nmodel: \u{1}").hasPrefix("run.yaml:2: not YAML: "))
  }

  @Test func overridesAreNamedAsTyped() {
    #expect(
      refusal("", "training.epoch=3")
        == "--set training.epoch=3: unknown key \"training.epoch\" (did you mean \"training.epochs\"?)")
    #expect(
      refusal("", "training.epochs=x")
        == "--set training.epochs=x: training.epochs expects a whole number, got \"x\"")
    #expect(refusal("", "training.epochs") == "--set training.epochs: expects key=value")
    #expect(refusal("", "=3") == "--set =3: expects key=value")
    #expect(refusal("", "seed=[1").hasPrefix("--set seed=[1: not YAML: "))
    #expect(
      refusal("", "training.epochs=0") == "--set training.epochs=0: training.epochs expects at least 1, got 0"
    )
  }

  @Test(arguments: [
    ("seed: -1", "seed expects at least 0, got -1"),
    ("training: {epochs: 0}", "training.epochs expects at least 1, got 0"),
    ("training: {batch: 0}", "training.batch expects at least 1, got 0"),
    (
      "training: {batch: 8, microbatch: 16}", "training.microbatch expects at most training.batch (8), got 16"
    ),
    ("training: {lanes: -1}", "training.lanes expects at least 0, got -1"),
    ("model: {dropout: 1}", "model.dropout expects a number from 0 to below 1, got 1.0"),
    ("model: {classes: [a, b, a]}", "model.classes names \"a\" twice"),
    ("loss: {label_smoothing: -0.1}", "loss.label_smoothing expects a number from 0 to below 1, got -0.1"),
    ("loss: {class_weights: [1, -1]}", "loss.class_weights expects at least 0, got -1.0"),
    ("loss: {class_weights: [0, 0]}", "loss.class_weights expects a weight above 0, got only zeros"),
    ("optimizer: {learning_rate: .nan}", "optimizer.learning_rate expects a finite number, got nan"),
    ("optimizer: {weight_decay: .inf}", "optimizer.weight_decay expects a finite number, got inf"),
    ("optimizer: {nesterov: true}", "optimizer.nesterov is for sgd, but optimizer.name is adamw"),
    ("optimizer: {name: sgd, nesterov: true}", "optimizer.nesterov expects a momentum above 0, got 0.0"),
    ("data: {synthetic: {kinds: 9}}", "data.synthetic.kinds expects at most 8, got 9"),
    (
      "data: {synthetic: {images: 5}}",
      "data.synthetic.images expects at least one of each of the 6 kinds, got 5"
    ),
    ("data: {image: {size: 15}}", "data.image.size expects at least 16 for synthetic cells, got 15"),
    (
      "data: {split: {train: 0, val: 1, test: 0}}",
      "data.split.train expects a share above 0 to train on, got 0.0"
    ),
    ("data: {image: {size: 0}}", "data.image.size expects at least 1, got 0"),
    ("data: {image: {channels: 2}}", "data.image.channels expects 1 (grey) or 3 (RGB), got 2"),
    ("data: {image: {resize: 32}}", "data.image.resize expects 0 or at least data.image.size (64), got 32"),
    ("data: {split: {train: 0.5}}", "data.split expects shares that add up to 1, got 0.8"),
    ("data: {split: {test: -1}}", "data.split.test expects a share in 0 … 1, got -1.0"),
    (
      "data: {normalisation: {mean: [1, 2, 3]}}",
      "data.normalisation expects both mean and deviation, or neither"
    ),
    (
      "data: {normalisation: {mean: [1]}}",
      "data.normalisation.mean expects 3 numbers, one for each channel, got 1"
    ),
    (
      "data: {normalisation: {mean: [0, 0, 0], deviation: [1, 0, 1]}}",
      "data.normalisation.deviation expects more than 0, got 0.0"
    ),
    (
      "schedule: {warmup_epochs: 19}", "schedule.warmup_epochs expects at most training.epochs (10), got 19.0"
    ),
    ("schedule: {minimum: 1}", "schedule.minimum expects at most optimizer.learning_rate (0.001), got 1.0"),
    (
      "{schedule: {scaling: linear, minimum: 0.0006}}",
      "schedule.minimum expects at most optimizer.learning_rate scaled to the batch (0.0005), got 0.0006"
    ),
    ("schedule: {scaling: root}", "schedule.scaling expects one of none, linear, square_root; got \"root\""),
    ("schedule: {reference_batch: 0}", "schedule.reference_batch expects at least 1, got 0"),
    ("optimizer: {clip_norm: -1}", "optimizer.clip_norm expects at least 0, got -1.0"),
    ("optimizer: {clip_value: .inf}", "optimizer.clip_value expects a finite number, got inf"),
    ("optimizer: {trust_coefficient: 0}", "optimizer.trust_coefficient expects more than 0, got 0.0"),
    ("distillation: {temperature: 0}", "distillation.temperature expects more than 0, got 0.0"),
    ("distillation: {weight: 1.5}", "distillation.weight expects a share in 0 … 1, got 1.5"),
    ("ema: {decay: 1}", "ema.decay expects a number from 0 to below 1, got 1.0"),
    ("checks: {recompute_every: -1}", "checks.recompute_every expects at least 0, got -1"),
    ("placement: {pin: maybe}", "placement.pin expects true or false, got \"maybe\""),
    ("checkpoint: {keep: 0}", "checkpoint.keep expects at least 1, got 0"),
    ("data: {path: ''}", "data.path expects a folder or \"synthetic\", got nothing"),
  ])
  func impossibleValuesAreRefused(text: String, message: String) {
    #expect(refusal(text) == "run.yaml:1: " + message)
  }

  @Test func filesThatCannotBeReadAreNamed() throws {
    #expect(throws: FileError.self) { try ConfigLoader.load(file: "/nowhere/run.yaml") }
    #expect {
      try ConfigLoader.load(file: "/nowhere/run.yaml")
    } throws: {
      "\($0)" == "/nowhere/run.yaml: can't open the configuration: No such file or directory"
    }
    #expect {
      try ConfigLoader.load(file: "/tmp")
    } throws: {
      "\($0)" == "/tmp: not a readable file"
    }
    try withScratchDirectory { directory in
      let path = directory + "/latin1.yaml"
      try DurableFile.write([0x73, 0xE9, 0x0A], to: path)
      #expect {
        try ConfigLoader.load(file: path)
      } throws: {
        "\($0)" == "\(path): expects text in UTF-8"
      }
    }
  }
}
