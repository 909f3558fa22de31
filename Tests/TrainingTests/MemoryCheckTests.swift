import Collectives
import Layers
import Models
import Tensors
import Testing
import Training

@Suite struct MemoryCheckTests {
  private func refusal(_ settings: TrainingStep.Settings, _ example: StepCase) -> String? {
    do {
      _ = try example.step(settings)
      return nil
    } catch {
      return "\(error)"
    }
  }

  /// Where waves of all microbatches don't fit, the wave that is named does, and the next doesn't.
  @Test func whatIsRefusedNamesTheLargestThatFits() throws {
    let example = try StepCase("lenet5", sizes: [32, 32, 32, 32, 32, 32])
    var settings = example.settings(lanes: 2)
    let needed = try example.step(settings).memory.total
    settings.memoryLimits = [MemoryLimit(bytes: 2 * needed)]
    #expect(refusal(settings, example) == nil)
    settings.memoryLimits = [
      MemoryLimit(bytes: 2 * needed), MemoryLimit(bytes: needed * 3 / 4, group: "/job"),
    ]
    let line = try #require(refusal(settings, example))
    #expect(line.hasPrefix("this needs 0.0 GB of memory, the control group /job leaves 0.0 GB; "))
    let words = line.split(separator: " ")
    let wave = try #require(
      words.firstIndex(of: "wave").flatMap { Int(words[$0 + 1].prefix { $0.isNumber }) })
    #expect(line.contains("the largest that fit are microbatch 32 with wave \(wave)"))
    #expect((1..<3).contains(wave))
    settings.wave = wave
    #expect(refusal(settings, example) == nil)
    settings.wave = wave + 1
    #expect(refusal(settings, example) != nil)
  }

  @Test func aSmallerMicrobatchIsNamedWhereNoWaveFits() throws {
    let example = try StepCase("lenet5", sizes: [32, 32])
    var settings = example.settings()
    settings.wave = 1
    let needed = try example.step(settings).memory.total
    settings.memoryLimits = [MemoryLimit(bytes: needed * 4 / 5)]
    let line = try #require(refusal(settings, example))
    let words = line.split(separator: " ")
    let small = try #require(words.firstIndex(of: "microbatch").flatMap { Int(words[$0 + 1]) })
    #expect((1..<32).contains(small) && line.contains("microbatch \(small) with wave 1"))
    settings.microbatch = small
    #expect(refusal(settings, example) == nil)
    settings.memoryLimits = [MemoryLimit(bytes: 1000)]
    #expect(refusal(settings, example)?.hasSuffix("; not even a microbatch of 1 fits") == true)
  }

  /// What the check expects is what is then allocated, but for little.
  @Test func theCheckKnowsWhatAStepTakes() throws {
    for (model, lanes, wave) in [("seed_cnn", 1, 0), ("seed_cnn", 3, 1), ("resnet18_small", 2, 0)] {
      let example = try StepCase(model, sizes: [4, 4, 4, 4])
      var settings = example.settings(lanes: lanes, wave: wave)
      let taken = try example.step(settings).memory.total
      settings.memoryLimits = [MemoryLimit(bytes: taken * 102 / 100)]
      #expect(refusal(settings, example) == nil, "\(model), \(lanes) lanes, wave \(wave)")
      settings.memoryLimits = [MemoryLimit(bytes: taken * 95 / 100)]
      #expect(refusal(settings, example) != nil, "\(model), \(lanes) lanes, wave \(wave)")
    }
  }
}
