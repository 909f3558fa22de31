import Foundation
import Tensors
import Testing
import Training

@Suite struct CheckpointTests {
  private static let layout = OptimizerTests.layout
  private static let states = ["exp_avg", "exp_avg_sq"]

  /// A checkpoint whose numbers follow from its step.
  private static func checkpoint(step: Int) -> Checkpoint {
    func filled(_ salt: Int, _ entries: [FlatLayout.Entry]) -> [Float] {
      let stream = RandomStream(seed: UInt64(step), purpose: .test(salt))
      var values = Array(repeating: Float(0), count: layout.extent)
      for entry in entries { for index in entry.range { values[index] = stream.normal(at: index) } }
      return values
    }
    let values = filled(0, layout.entries)
    var state = CheckpointState(
      epoch: step / 10, step: step, stepInEpoch: step % 10, model: "seed_cnn", classes: ["a \"b\"", "c"],
      mean: [0.1, 0.2, 0.3], deviation: [0.3, 1 / 3, 1], configHash: "c", dataFingerprint: "d",
      binding: ["isa": "avx512", "blas": "SkylakeX"],
      weightsHash: WeightsHash.of(values, layout: layout).description)
    state.epochLossSum = 1 / 3.0
    state.epochImages = 17
    state.best = state.best.after(0.1 + 0.2, metric: .accuracy, epoch: 1, step: 9, minimumDelta: 0)
    let optimizer = states.enumerated().map {
      Checkpoint.NamedArray(name: $1, values: filled($0 + 1, layout.parameters))
    }
    return Checkpoint(state: state, values: values, optimizer: optimizer)
  }

  private static func flip(_ path: String, byte: Int) throws {
    var bytes = Array(try Foundation.Data(contentsOf: URL(fileURLWithPath: path)))
    bytes[byte] ^= 4
    try DurableFile.write(bytes, to: path)
  }

  private static func names(_ path: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: path).sorted()
  }

  @Test func whatIsSavedIsLoaded() throws {
    try withScratchDirectory { run in
      let store = CheckpointStore(run: run, layout: Self.layout)
      #expect(try store.loadNewest(states: Self.states) == nil)
      let saved = Self.checkpoint(step: 30)
      let path = try store.save(saved, isBest: true, keep: 3)
      #expect(path == run + "/checkpoints/step-00000030")
      #expect(
        try Self.names(path) == [
          "checksums.txt", "optimizer.safetensors", "state.json", "weights.safetensors",
        ])
      let loaded = try #require(try store.loadNewest(states: Self.states))
      #expect(loaded.checkpoint == saved)
      #expect(loaded.notices == [])
      let best = try CheckpointStore.weights(at: run + "/best", layout: Self.layout)
      #expect(best.state == saved.state && best.values == saved.values)
      #expect(WeightsHash.of(best.values, layout: Self.layout).description == saved.state.weightsHash)
      #expect(try CheckpointStore.verifiedState(at: run + "/latest").step == 30)
    }
  }

  /// Weights that are evaluated and weights that training goes on from are two files, both checked.
  @Test func averagesTakeThePlaceOfWeights() throws {
    try withScratchDirectory { run in
      let store = CheckpointStore(run: run, layout: Self.layout)
      var saved = Self.checkpoint(step: 30)
      saved.averages = Self.checkpoint(step: 31).values
      let path = try store.save(saved, isBest: true, keep: 3)
      #expect(try Self.names(path).contains("unaveraged.safetensors"))
      #expect(try store.loadNewest(states: Self.states)?.checkpoint == saved)
      let evaluated = try CheckpointStore.weights(at: run + "/best", layout: Self.layout).values
      #expect(evaluated == saved.averages)
      try Self.flip(path + "/unaveraged.safetensors", byte: 900)
      #expect {
        try CheckpointStore.verify(path)
      } throws: {
        "\($0)".hasPrefix("\(path)/unaveraged.safetensors: damaged")
      }
      try FileManager.default.removeItem(atPath: path + "/unaveraged.safetensors")
      #expect(throws: (any Error).self) { try CheckpointStore.verify(path) }
    }
  }

  @Test func weightsAreWhatPyTorchLoads() throws {
    try withScratchDirectory { run in
      let store = CheckpointStore(run: run, layout: Self.layout)
      let saved = Self.checkpoint(step: 30)
      let path = try store.save(saved, isBest: false, keep: 1)
      let file = try Safetensors.Reader(path: path + "/weights.safetensors")
      #expect(
        Set(file.entries.map(\.name)) == Set(Self.layout.entries.map(\.name) + ["norm.num_batches_tracked"]))
      #expect(try file.integers("norm.num_batches_tracked") == [30])
      #expect(file.entry("norm.num_batches_tracked")?.shape == [])
      let weight = try file.tensor("conv.weight")
      #expect(weight.shape == [7, 11])
      #expect(weight.values == Array(saved.values[Self.layout.parameters[0].range]))
      #expect(CheckpointArrays.classes(in: file.metadata) == ["a \"b\"", "c"])
      let optimizer = try Safetensors.Reader(path: path + "/optimizer.safetensors")
      #expect(try optimizer.tensor("exp_avg_sq.norm.bias").shape == [15])
    }
  }

  @Test func checksumsAreThoseOfTheFiles() throws {
    try withScratchDirectory { run in
      let path = try CheckpointStore(run: run, layout: Self.layout).save(
        Self.checkpoint(step: 1), isBest: false, keep: 1)
      let text = try String(contentsOfFile: path + "/checksums.txt", encoding: .utf8)
      let expected = try ["weights.safetensors", "optimizer.safetensors", "state.json"].map { name in
        let hash = try Array(Foundation.Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")))
          .withUnsafeBytes {
            ContentHash($0)
          }
        return "\(hash)  \(name)\n"
      }
      #expect(text == expected.joined())
    }
  }

  @Test func theNewestAndTheBestAreKept() throws {
    try withScratchDirectory { run in
      let store = CheckpointStore(run: run, layout: Self.layout)
      for step in 1...6 {
        try store.save(Self.checkpoint(step: step), isBest: step == 2 || step == 3, keep: 2)
      }
      #expect(try store.steps() == [3, 5, 6])
      #expect(store.bestStep == 3)
      #expect(try Self.names(run) == ["best", "checkpoints", "latest"])
      #expect(
        try FileManager.default.destinationOfSymbolicLink(atPath: run + "/latest")
          == "checkpoints/step-00000006")
    }
  }

  @Test(arguments: ["weights.safetensors", "optimizer.safetensors", "state.json", "checksums.txt"])
  func damageFallsBackAndSaysSo(name: String) throws {
    for damage in ["flipped", "short", "missing", "empty"] {
      try withScratchDirectory { run in
        let store = CheckpointStore(run: run, layout: Self.layout)
        for step in [10, 20] { try store.save(Self.checkpoint(step: step), isBest: false, keep: 3) }
        let path = "\(run)/checkpoints/step-00000020/\(name)"
        let size = try Foundation.Data(contentsOf: URL(fileURLWithPath: path)).count
        switch damage {
        case "flipped": try Self.flip(path, byte: size / 2)
        case "short": #expect(truncate(path, size - size / 3) == 0)
        case "empty": #expect(truncate(path, 0) == 0)
        default: try FileManager.default.removeItem(atPath: path)
        }
        let loaded = try #require(try store.loadNewest(states: Self.states))
        #expect(loaded.checkpoint == Self.checkpoint(step: 10), "\(damage)")
        #expect(loaded.notices.count == 1)
        #expect(loaded.notices[0].hasPrefix("\(run)/checkpoints/step-00000020/"))
        #expect(loaded.notices[0].hasSuffix("; falling back to the checkpoint before it"))
        #expect(!loaded.notices[0].contains("\n"))
        #expect(throws: (any Error).self) {
          try CheckpointStore.weights(at: run + "/latest", layout: Self.layout)
        }

        // The run goes on from 10 and comes to 20 again.
        try store.save(Self.checkpoint(step: 20), isBest: false, keep: 3)
        #expect(try store.loadNewest(states: Self.states)?.checkpoint == Self.checkpoint(step: 20))
        #expect(try Self.names(run + "/checkpoints") == ["step-00000010", "step-00000020"])
      }
    }
  }

  @Test func allDamagedIsAnError() throws {
    try withScratchDirectory { run in
      let store = CheckpointStore(run: run, layout: Self.layout)
      for step in [10, 20] {
        let path = try store.save(Self.checkpoint(step: step), isBest: false, keep: 3)
        try Self.flip(path + "/weights.safetensors", byte: 400)
      }
      #expect {
        try store.loadNewest(states: Self.states)
      } throws: {
        "\($0)".hasPrefix(
          "\(run)/checkpoints: all 2 checkpoints are damaged; the newest: \(run)/checkpoints/step-00000020/")
      }
    }
  }

  @Test func anotherModelOrOptimizerIsAnErrorAndNoDamage() throws {
    try withScratchDirectory { run in
      let store = CheckpointStore(run: run, layout: Self.layout)
      for step in [10, 20] { try store.save(Self.checkpoint(step: step), isBest: false, keep: 3) }
      let path = "\(run)/checkpoints/step-00000020"
      func refusal(_ layout: FlatLayout, _ states: [String]) -> String {
        do {
          _ = try CheckpointStore(run: run, layout: layout).loadNewest(states: states)
          return "accepted"
        } catch {
          return "\(error)"
        }
      }
      #expect(
        refusal(Self.layout, ["momentum_buffer"])
          == "\(path)/optimizer.safetensors: holds exp_avg, exp_avg_sq of the optimizer, "
          + "but the configured optimizer expects momentum_buffer")
      let wider = FlatLayout(parameters: [.init("conv.weight", [7, 12], .weight)], statistics: [])
      #expect(
        refusal(wider, Self.states)
          == "\(path)/weights.safetensors: conv.weight expects shape (7, 12), got (7, 11)")
      let fewer = FlatLayout(parameters: [.init("conv.weight", [7, 11], .weight)], statistics: [])
      #expect(
        refusal(fewer, Self.states)
          == "\(path)/weights.safetensors: holds conv.bias and 4 more, which the model has no place for")
      let more = FlatLayout(parameters: [.init("head.weight", [7, 11], .weight)], statistics: [])
      #expect(refusal(more, Self.states) == "\(path)/weights.safetensors: no array \"head.weight\"")
    }
  }

  @Test func whatACutOffSaveLeavesIsNoCheckpoint() throws {
    try withScratchDirectory { run in
      let store = CheckpointStore(run: run, layout: Self.layout)
      let path = try store.save(Self.checkpoint(step: 10), isBest: false, keep: 3)
      // Killed while writing step 20, and while replacing step 10.
      try FileManager.default.copyItem(atPath: path, toPath: "\(run)/checkpoints/step-00000020.tmp")
      try FileManager.default.removeItem(atPath: "\(run)/checkpoints/step-00000020.tmp/state.json")
      try FileManager.default.moveItem(atPath: path, toPath: path + ".old")
      try store.save(Self.checkpoint(step: 30), isBest: false, keep: 3)
      #expect(try Self.names(run + "/checkpoints") == ["step-00000010", "step-00000030"])
    }
  }

  /// However arrays lie in memory, files and hashes have PyTorch's order.
  @Test func filesDoNotShowHowWeightsLieInMemory() throws {
    try withScratchDirectory { directory in
      let shape: Shape = [5, 18]
      let array = (0..<90).map(Float.init)
      let layouts = [1, 6].map { taps in
        FlatLayout(parameters: [.init("w", shape, .weight, .panels(taps: taps))], statistics: [])
      }
      let flat = layouts.map { layout in
        let flat = FloatBuffer(count: layout.extent)
        layout.parameters[0].fill(flat.pointer, with: array)
        return flat
      }
      #expect(flat[0].values != flat[1].values)
      #expect(
        WeightsHash.of(flat[0].pointer, layout: layouts[0])
          == WeightsHash.of(flat[1].pointer, layout: layouts[1]))
      let path = directory + "/weights.safetensors"
      try CheckpointArrays.weights(flat[0].values, layout: layouts[0], step: 1, model: "m", classes: [])
        .write(to: path)
      let file = try Safetensors.Reader(path: path)
      #expect(try file.tensor("w") == Tensor(shape: shape, values: array))
      #expect(try CheckpointArrays.weights(in: file, layout: layouts[1]) == flat[1].values)
    }
  }

  @Test func weightsHashTellsBitsNamesAndShapesApart() {
    let values = Self.checkpoint(step: 1).values
    let hash = WeightsHash.of(values, layout: Self.layout)
    var other = values
    other[Self.layout.statistics[1].offset] = other[Self.layout.statistics[1].offset].nextUp
    #expect(WeightsHash.of(other, layout: Self.layout) != hash)
    other = values
    other[Self.layout.parameterExtent - 1] = 7
    #expect(WeightsHash.of(other, layout: Self.layout) == hash, "padding is no weight")
    let a = FlatLayout(parameters: [.init("w", [2, 3], .weight)], statistics: [])
    let b = FlatLayout(parameters: [.init("w", [3, 2], .weight)], statistics: [])
    let c = FlatLayout(parameters: [.init("v", [2, 3], .weight)], statistics: [])
    #expect(Set([a, b, c].map { WeightsHash.of(values, layout: $0) }).count == 3)
  }

  @Test(.enabled(if: Mount.possible, "mounting needs root"))
  func aFullDiskIsNamedAndCostsNothing() throws {
    try withScratchDirectory { run in
      try Mount.withMounted(["-t", "tmpfs", "-o", "size=64k", "tmpfs", run], at: run) {
        let store = CheckpointStore(run: run, layout: Self.layout)
        try store.save(Self.checkpoint(step: 10), isBest: true, keep: 3)
        try DurableFile.write(Array(repeating: 0, count: 40_000), to: run + "/filler")
        #expect {
          for step in 11..<30 { try store.save(Self.checkpoint(step: step), isBest: false, keep: 30) }
        } throws: {
          "\($0)".hasSuffix("No space left on device") && $0 is FileError
        }
        #expect(!(try Self.names(run + "/checkpoints")).contains { $0.hasSuffix(".tmp") })
        let newest = try #require(try store.loadNewest(states: Self.states))
        #expect(newest.notices == [])
        #expect(newest.checkpoint == Self.checkpoint(step: newest.checkpoint.state.step))
      }
    }
  }

  @Test(.enabled(if: Mount.possible, "mounting needs root"))
  func aReadOnlyDirectoryIsNamed() throws {
    try withScratchDirectory { run in
      try Mount.withMounted(["-t", "tmpfs", "-o", "ro", "tmpfs", run], at: run) {
        #expect {
          try CheckpointStore(run: run, layout: Self.layout).save(
            Self.checkpoint(step: 1), isBest: false, keep: 1)
        } throws: {
          "\($0)" == "\(run)/checkpoints: can't create the directory: Read-only file system"
        }
        #expect {
          try RunDirectory(run, .new)
        } throws: {
          "\($0)" == "\(run)/lock: can't create: Read-only file system"
        }
      }
    }
  }
}
