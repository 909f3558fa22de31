import CKernels
import Collectives
import Foundation
import Layers
import Models
import Tensors
import Testing
import Training

@Suite struct KernelTimesTests {
  private func network() throws -> Network {
    try ModelZoo.network(
      "seed_cnn", input: FeatureShape(channels: 3, height: 16, width: 16), options: .init(classes: 4))
  }

  /// Times of all convolutions and linear layers, all `direct` where that can be.
  private func times(_ network: Network, images: Int, cpu: String) -> KernelTimes {
    var times = KernelTimes()
    for (_, shape) in network.convolutions(images: images) where !shape.planar {
      times.insert(
        KernelTimes.Entry(shape, isa: .detected, cpu: cpu, algorithms: Self.direct))
    }
    return times
  }

  private static let direct = PassAlgorithms(
    forward: "direct", backwardData: "direct", backwardWeights: "direct")

  private func chosen(_ found: TunedAlgorithms) -> [String: String] {
    Dictionary(uniqueKeysWithValues: found.layers.map { ($0.layer, "\($0.algorithms)") })
  }

  @Test func whatWasMeasuredIsChosen() throws {
    try withScratchDirectory { directory in
      let (network, path) = (try network(), directory + "/kernels.json")
      try times(network, images: 16, cpu: "this").write(to: path)
      let found = try TunedAlgorithms(network, images: 16, kernels: .detected, path: path, cpu: "this")
      let choice = chosen(found)
      #expect(choice.count == 5)
      #expect(choice["block2.conv"] == "direct direct direct" && choice["hidden"] == "direct direct direct")
      #expect(choice["block1.conv"] == "stem none stem", "which nobody measured")
      #expect(
        found.notice
          == "algorithms of 4 of 5 layers by measured times, of the others by the rule (bench kernels --tune)"
      )
      let tuned = try network.computing(by: .tuned, measured: found.layers)
      #expect(tuned.chosenAlgorithms(.detected) == found.layers)
      #expect(network.chosenAlgorithms(.detected) != found.layers)
    }
  }

  /// Ties go to the larger number of images.
  @Test func theNearestNumberOfImagesCounts() throws {
    var times = KernelTimes()
    let network = try network()
    func shape(_ images: Int) -> ConvolutionShape { network.convolutions(images: images)[1].shape }
    for (images, name) in [(8, "direct"), (16, "winograd2"), (24, "winograd4")] {
      times.insert(
        KernelTimes.Entry(
          shape(images), isa: .detected, cpu: "this",
          algorithms: PassAlgorithms(forward: name, backwardData: name, backwardWeights: name)))
    }
    func found(_ images: Int) -> String? {
      times.algorithms(for: shape(images), isa: .detected, cpu: "this")?.forward
    }
    #expect(
      [1, 8, 11, 12, 20, 100].map(found) == [
        "direct", "direct", "direct", "winograd2", "winograd4", "winograd4",
      ])
    #expect(
      times.algorithms(for: network.convolutions(images: 8)[2].shape, isa: .detected, cpu: "this") == nil)
  }

  @Test func aCacheOfAnotherCPUOrDamagedIsIgnoredAndSaid() throws {
    try withScratchDirectory { directory in
      let (network, path) = (try network(), directory + "/kernels.json")
      func found() throws -> TunedAlgorithms {
        try TunedAlgorithms(network, images: 16, kernels: .detected, path: path, cpu: "this")
      }
      let rule = network.chosenAlgorithms(.detected)
      #expect(
        try found() == TunedAlgorithms(network, images: 16, kernels: .detected, path: path, cpu: "that"))
      try times(network, images: 16, cpu: "another").write(to: path)
      #expect(try found().layers == rule)
      #expect(
        try found().notice
          == "\(path): measured on another CPU (another; this is this): ignored, algorithms by the rule")
      for text in ["", "{}", "[1]", #"{"format": "something else", "entries": []}"#] {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        #expect(try found().layers == rule)
        #expect(
          try found().notice
            == "\(path): damaged: not what bench kernels --tune writes: ignored, algorithms by the rule")
      }
    }
  }

  /// A file that names what this program can't do, by hand or by another version, does no harm.
  @Test func whatCantBeIsLeftToTheRule() throws {
    try withScratchDirectory { directory in
      let (network, path) = (try network(), directory + "/kernels.json")
      var times = KernelTimes()
      for (_, shape) in network.convolutions(images: 16) {
        times.insert(
          KernelTimes.Entry(
            shape, isa: .detected, cpu: "this",
            algorithms: PassAlgorithms(forward: "magic", backwardData: "none", backwardWeights: "stem")))
      }
      try times.write(to: path)
      let found = try TunedAlgorithms(network, images: 16, kernels: .detected, path: path, cpu: "this")
      #expect(found.layers == network.chosenAlgorithms(.detected))
    }
  }

  @Test func aTunedChoiceIsAccurate() throws {
    let shape = try network().convolutions(images: 2)[1].shape
    var seen: Set<String> = []
    let found = ConvolutionTuning(shape, kernels: .detected, seconds: 0.001).run {
      #expect($0.error <= ConvolutionTuning.tolerance && $0.error > 0)
      seen.insert("\($0.pass) \($0.algorithm)")
    }
    #expect(seen.isSuperset(of: ["forward direct", "data winograd4", "weights winograd2"]))
    #expect(!seen.contains { $0.hasSuffix(" ref") || $0.hasSuffix(" blas") })
    #expect(
      [found.forward, found.backwardData, found.backwardWeights].allSatisfy { seen.contains("forward \($0)") }
    )
  }
}
