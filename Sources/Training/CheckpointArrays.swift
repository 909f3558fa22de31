import Foundation
import Tensors

/// Flat buffers as safetensors files, by the names and shapes of PyTorch's modules.
package enum CheckpointArrays {
  /// A weights file: parameters, running statistics, and the count of batches that PyTorch's batch norm
  /// keeps beside them (`num_batches_tracked`, one a step), so that `load_state_dict` takes the file as
  /// it is. The metadata names model and classes.
  package static func weights(
    _ values: [Float], layout: FlatLayout, step: Int, model: String, classes: [String]
  ) -> Safetensors.Writer {
    precondition(
      values.count == layout.extent, "a weights file expects \(layout.extent) floats, got \(values.count)")
    var writer = Safetensors.Writer()
    let names = classes.map(JSONText.quoted).joined(separator: ",")
    writer.metadata = [("format", "pt"), ("model", model), ("classes", "[\(names)]")]
    for entry in layout.entries {
      writer.add(entry.name, entry.tensor(in: values))
      if entry.role == .runningVariance {
        let module = entry.name.split(separator: ".").dropLast().joined(separator: ".")
        writer.add(module.isEmpty ? counter : "\(module).\(counter)", shape: [], [Int64(step)])
      }
    }
    return writer
  }

  private static let counter = "num_batches_tracked"

  /// The flat values of a weights file. Throws where an array is missing, left over or of another shape.
  package static func weights(in file: Safetensors.Reader, layout: FlatLayout) throws -> [Float] {
    var values = Array(repeating: Float(0), count: layout.extent)
    for entry in layout.entries { try read(entry.name, entry, file, into: &values) }
    let known = Set(layout.entries.map(\.name))
    let extra = file.entries.filter { !known.contains($0.name) && !$0.name.hasSuffix(counter) }
    if let first = extra.first {
      let others = extra.count == 1 ? "" : " and \(extra.count - 1) more"
      throw CheckpointError(
        path: file.path, problem: "holds \(first.name)\(others), which the model has no place for")
    }
    return values
  }

  /// The class names in the metadata of a weights file; nil where it doesn't name them.
  package static func classes(in metadata: [String: String]) -> [String]? {
    metadata["classes"].flatMap {
      try? JSONDecoder().decode([String].self, from: Foundation.Data($0.utf8))
    }
  }

  /// Optimizer state, an array for each parameter: `exp_avg.layer1.0.conv1.weight`.
  static func optimizer(_ state: [Checkpoint.NamedArray], layout: FlatLayout) -> Safetensors.Writer {
    var writer = Safetensors.Writer()
    writer.metadata = [("states", state.map(\.name).joined(separator: ","))]
    for array in state {
      precondition(
        array.values.count == layout.extent,
        "\(array.name) expects \(layout.extent) floats, got \(array.values.count)")
      for entry in layout.parameters {
        writer.add("\(array.name).\(entry.name)", entry.tensor(in: array.values))
      }
    }
    return writer
  }

  static func optimizer(
    in file: Safetensors.Reader, states: [String], layout: FlatLayout
  ) throws -> [Checkpoint.NamedArray] {
    let saved = file.metadata["states"].map { $0.split(separator: ",").map(String.init) } ?? []
    guard saved == states else {
      func list(_ names: [String]) -> String { names.isEmpty ? "nothing" : names.joined(separator: ", ") }
      throw CheckpointError(
        path: file.path,
        problem: "holds \(list(saved)) of the optimizer, but the configured optimizer expects \(list(states))"
      )
    }
    return try states.map { state in
      var values = Array(repeating: Float(0), count: layout.extent)
      for entry in layout.parameters { try read("\(state).\(entry.name)", entry, file, into: &values) }
      return Checkpoint.NamedArray(name: state, values: values)
    }
  }

  private static func read(
    _ name: String, _ entry: FlatLayout.Entry, _ file: Safetensors.Reader, into values: inout [Float]
  ) throws {
    let tensor = try file.tensor(name)
    guard tensor.shape == entry.shape else {
      throw CheckpointError(
        path: file.path, problem: "\(name) expects shape \(entry.shape), got \(tensor.shape)")
    }
    values.withUnsafeMutableBufferPointer { values in
      guard let flat = values.baseAddress else { return }
      entry.fill(flat, with: tensor.values)
    }
  }
}

extension FlatLayout.Entry {
  /// The array of a flat buffer, as PyTorch knows it.
  package func tensor(in flat: [Float]) -> Tensor {
    flat.withUnsafeBufferPointer { flat in
      Tensor(shape: shape, values: flat.baseAddress.map(array(in:)) ?? [])
    }
  }
}
