import Foundation
import Training

/// `bench step --compare pytorch`: the same step in PyTorch, by the script that lies beside this program. The two
/// alternate, each as a process of its own.
struct PeerComparison {
  /// Given, else that of the environment, else python3.
  let python: String
  /// What the script is told.
  let arguments: [String]

  init(python: String?, arguments: [String]) {
    self.python = python ?? ProcessInfo.processInfo.environment["PYTHON"] ?? "python3"
    self.arguments = arguments
  }

  /// Runs the script; what it prints is the result. Throws `RunError`.
  func run() throws {
    let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let script = try Self.script(beside: program)
    let needs = "import torch, importlib.util; assert importlib.util.find_spec('torchvision')"
    guard try status(of: [python, "-c", needs], quietly: true) == 0 else {
      throw RunError(
        "--compare pytorch expects a Python with torch and torchvision, and \(python) isn't: "
          + "say which by --python PATH or by PYTHON in the environment")
    }
    let status = try status(of: [python, script, "--program", program] + arguments, quietly: false)
    guard status == 0 else { throw RunError("the comparison ended with status \(status): \(script)") }
  }

  private func status(of words: [String], quietly: Bool) throws -> Int32 {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = words
    process.standardInput = FileHandle.nullDevice
    if quietly {
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle.nullDevice
    }
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus
  }

  /// In the folders around the program: `share/cnn-dist/peers` of an installation, `scripts/peers` of the sources.
  static func script(beside program: String) throws(RunError) -> String {
    var folder = URL(fileURLWithPath: program).deletingLastPathComponent()
    while folder.path != "/" {
      for place in ["share/cnn-dist/peers", "scripts/peers"] {
        let script = folder.appendingPathComponent("\(place)/compare_speed.py").path
        if FileManager.default.fileExists(atPath: script) { return script }
      }
      folder.deleteLastPathComponent()
    }
    throw RunError("--compare expects scripts/peers/compare_speed.py in a folder around \(program)")
  }
}
