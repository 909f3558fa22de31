// swift-tools-version: 6.1
import PackageDescription

// Dependencies point one way only: see ARCHITECTURE.md.
let package = Package(
  name: "cnn-dist",
  products: [.executable(name: "cnn-dist", targets: ["cnn-dist"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
    .package(url: "https://github.com/apple/swift-protobuf", exact: "1.39.0"),
  ],
  targets: [
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "COpenMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .systemLibrary(name: "CCairo", pkgConfig: "cairo", providers: [.apt(["libcairo2-dev"])]),
    .target(
      name: "CImageCodecs",
      cSettings: [.unsafeFlags(["-O3"])],
      linkerSettings: [
        .linkedLibrary("png"), .linkedLibrary("jpeg"), .linkedLibrary("tiff"), .linkedLibrary("z"),
      ]),
    // -O3 in debug builds too: tests would crawl without. No contraction: a fused multiply-add
    // stands where the source says so, or the bits would depend on the compiler's mood.
    .target(name: "CKernels", cSettings: [.unsafeFlags(["-O3", "-ffp-contract=off"])]),
    .target(name: "Tensors", dependencies: ["CKernels", "COpenBLAS", "CXXHash"]),
    .target(name: "Layers", dependencies: ["Tensors", "CKernels"]),
    // ONNX's messages as protoc-gen-swift 1.39.0 makes them of onnx.proto (onnx 1.23.2; Apache-2.0).
    .target(
      name: "ONNXMessages", dependencies: [.product(name: "SwiftProtobuf", package: "swift-protobuf")]),
    .target(name: "Models", dependencies: ["Layers", "ONNXMessages"]),
    .target(name: "CellData", dependencies: ["Tensors", "CImageCodecs"]),
    .target(name: "Collectives", dependencies: ["Tensors", "CKernels", "COpenMPI"]),
    .target(
      name: "Training",
      dependencies: [
        "Models", "CellData", "Collectives", "Yams", .product(name: "Logging", package: "swift-log"),
      ]),
    .target(name: "Reports", dependencies: ["Training", "CCairo"]),
    .target(name: "Diagnosis", dependencies: ["Training"]),
    .target(
      name: "CLI",
      dependencies: [
        "Reports", "Diagnosis", "CKernels",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      // Commands are internal, and their tests run against the release that trains.
      swiftSettings: [.unsafeFlags(["-enable-testing"])]),
    .executableTarget(name: "cnn-dist", dependencies: ["CLI"]),

    // The Swift half of scripts/peers/compare_steps.py.
    .executableTarget(name: "step-probe", dependencies: ["Training"], path: "Tests/StepProbe"),

    // Takes steps for scripts/test-allocations.
    .executableTarget(name: "allocation-probe", dependencies: ["Training"], path: "Tests/AllocationProbe"),

    // Breaks files of weights for scripts/fuzz-weights.
    .executableTarget(name: "weights-fuzzer", dependencies: ["Models"], path: "Tests/WeightsFuzzer"),

    .testTarget(name: "TensorsTests", dependencies: ["Tensors", "CKernels"], resources: [.copy("Golden")]),
    .testTarget(name: "LayersTests", dependencies: ["Layers"], resources: [.copy("Golden")]),
    .testTarget(name: "ModelsTests", dependencies: ["Models", "ONNXMessages"], resources: [.copy("Golden")]),
    .testTarget(name: "CellDataTests", dependencies: ["CellData"], resources: [.copy("Golden")]),
    .testTarget(name: "CollectivesTests", dependencies: ["Collectives", "CKernels"]),
    .testTarget(name: "TrainingTests", dependencies: ["Training"], resources: [.copy("Golden")]),
    .testTarget(name: "ReportsTests", dependencies: ["Reports"]),
    .testTarget(name: "DiagnosisTests", dependencies: ["Diagnosis", "Yams"]),
    .testTarget(name: "CLITests", dependencies: ["CLI", "ONNXMessages"]),
    // XCTest, because its order is the same on every rank; run by scripts/test under mpirun.
    .testTarget(name: "ParallelTests", dependencies: ["Training"]),
  ],
  cLanguageStandard: .gnu17)
