import Collectives
import Foundation
import Layers
import Testing
import Training

/// The configuration that a run saves is what others continue and use it with.
@Suite struct SavedConfigTests {
  private static let settings = [
    "model.name=lenet5", "data.image.size=16", "data.synthetic.images=60", "data.synthetic.kinds=3",
    "training.epochs=1", "training.batch=16", "training.microbatch=8", "training.lanes=1",
  ]

  private func job(_ run: String, _ settings: [String] = [], resume: Bool = false) throws -> TrainingJob {
    try TrainingJob.prepare(
      TrainOptions(
        config: nil, overrides: resume ? settings : Self.settings + settings, directory: run, resume: resume),
      communicator: Communicator.start(environment: [:]))
  }

  @Test func holdsClassesAndNormalisation() throws {
    try withScratchDirectory { directory in
      let run = directory + "/run"
      let job = try job(run)
      #expect(!FileManager.default.fileExists(atPath: run + "/config.yaml"), "saved before training is sure")
      _ = try Trainer(job, sinks: []).run(resume: false)
      let saved = try ConfigLoader.load(file: run + "/config.yaml").config
      #expect(saved == job.config)
      #expect(saved.model.classes == ["eosinophil", "lymphocyte", "neutrophil"])
      #expect(saved.data.normalisation.mean.map { Float($0) } == job.data.normalisation.mean)
      #expect(saved.data.normalisation.deviation.map { Float($0) } == job.data.normalisation.deviation)
    }
  }

  @Test func resumingSavesWhatChangedUnlessItIsRefused() throws {
    try withScratchDirectory { directory in
      let run = directory + "/run"
      _ = try Trainer(try job(run), sinks: []).run(resume: false)
      let before = try ConfigLoader.load(file: run + "/config.yaml").config
      #expect(throws: RunError.self) {
        // Other images than those of the checkpoint.
        let job = try job(run, ["data.synthetic.images=90"], resume: true)
        _ = try Trainer(job, sinks: []).run(resume: true)
      }
      #expect(try ConfigLoader.load(file: run + "/config.yaml").config == before)
      _ = try Trainer(try job(run, ["training.epochs=2"], resume: true), sinks: []).run(resume: true)
      var longer = before
      longer.training.epochs = 2
      #expect(try ConfigLoader.load(file: run + "/config.yaml").config == longer)
    }
  }

  /// The algorithm decides over bits, so a resumed run keeps that of its beginning.
  @Test func theChoiceOfAlgorithmsIsKept() throws {
    try withScratchDirectory { directory in
      let run = directory + "/run"
      _ = try Trainer(try job(run, ["engine.convolution=blas"]), sinks: []).run(resume: false)
      #expect(try ConfigLoader.load(file: run + "/config.yaml").config.engine.convolution == .blas)
      let resumed = try job(run, ["training.epochs=2"], resume: true)
      let choices = resumed.network.nodes.compactMap { ($0.layer as? Conv2d)?.algorithm }
      #expect(choices == [.blas, .blas])
      #expect {
        _ = try job(directory + "/other", ["engine.convolution=winograd4"])
      } throws: {
        "\($0)".hasPrefix("conv1: winograd4 can't do a convolution of 3 to 6 channels with kernel (5, 5)")
      }
    }
  }

  /// A measured choice is what the run began with, whatever is measured later.
  @Test func measuredAlgorithmsAreKept() throws {
    try withScratchDirectory { directory in
      let run = directory + "/run"
      let by = [
        "conv1 stem none stem", "conv2 direct direct direct", "fc1 dense dense dense",
        "fc2 direct direct dense",
        "fc3 dense dense dense",
      ]
      _ = try Trainer(
        try job(
          run,
          ["engine.convolution=tuned", "engine.algorithms=[\(by.map { "'\($0)'" }.joined(separator: ","))]"]),
        sinks: []
      ).run(resume: false)
      let saved = try ConfigLoader.load(file: run + "/config.yaml").config
      #expect(saved.engine.convolution == .tuned && saved.engine.algorithms.map(\.description) == by)
      let resumed = try job(run, ["training.epochs=2"], resume: true)
      #expect(resumed.config.engine == saved.engine)
      let layer = try #require(resumed.network.nodes.last { $0.layer is Linear }?.layer as? Linear)
      #expect(layer.measured?.description == "dense dense dense")
      #expect {
        _ = try job(
          directory + "/a",
          ["engine.convolution=tuned", "engine.algorithms=['conv2 winograd4 direct direct']"])
      } throws: {
        "\($0)".hasPrefix("conv2: winograd4 can't do a convolution of 6 to 16 channels with kernel (5, 5)")
          && "\($0)".hasSuffix("direct, tiny can")
      }
      #expect {
        _ = try job(
          directory + "/b", ["engine.convolution=tuned", "engine.algorithms=['conv9 direct direct direct']"])
      } throws: {
        "\($0)" == "engine.algorithms names conv9, which is no convolution or linear layer"
      }
      #expect {
        _ = try job(directory + "/c", ["engine.algorithms=[direct]"])
      } throws: {
        "\($0)".contains("engine.algorithms[0] expects a layer and its algorithms")
      }
    }
  }

  @Test func pathsAreAbsolute() throws {
    try withScratchDirectory { directory in
      let here = FileManager.default.currentDirectoryPath
      #expect {
        _ = try job(directory + "/run", ["data.path=no/such/cells"])
      } throws: {
        "\($0)".hasPrefix("\(here)/no/such/cells: ")
      }
    }
  }
}
