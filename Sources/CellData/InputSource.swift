/// The images of some inputs, files opened when they are asked for, sets mapped into memory.
package final class InputSource: ImageSource {
  package let inputs: ImageInputs
  package let count: Int
  private let preparation: ImagePreparation
  /// Of each part: its first image, its first file, and its set.
  private let parts: [(first: Int, firstFile: Int, set: ImageSet?)]

  /// Opens the sets. Throws where one is no longer what the inputs say, or doesn't fit the network.
  package init(_ inputs: ImageInputs, preparation: ImagePreparation) throws {
    self.inputs = inputs
    self.preparation = preparation
    count = inputs.count
    var (first, firstFile) = (0, 0)
    parts = try inputs.parts.map { part in
      defer {
        first += part.count
        if part.set == nil { firstFile += part.count }
      }
      let set = try part.set.map { try ImageSet(path: $0, preparation: preparation) }
      if let set, set.count != part.count {
        throw ImageError(path: set.path, problem: "held \(part.count) images and now holds \(set.count)")
      }
      return (first, firstFile, set)
    }
  }

  package func load(_ index: Int) throws(ImageError) -> PixelImage {
    let (part, place) = place(of: index)
    if let set = part.set { return try set.load(place) }
    return try preparation.load(inputs.files[part.firstFile + place])
  }

  /// What an image is called: its path, or `set.safetensors[7]`.
  package func name(of index: Int) -> String {
    let (part, place) = place(of: index)
    if let set = part.set { return "\(set.path)[\(place)]" }
    return inputs.files[part.firstFile + place]
  }

  /// Throws where a set has labels that are none of `classes`.
  package func checkLabels(classes: Int) throws {
    for part in parts { try part.set?.checkLabels(classes: classes) }
  }

  private func place(of index: Int) -> (part: (first: Int, firstFile: Int, set: ImageSet?), place: Int) {
    precondition((0..<count).contains(index), "image \(index) of \(count)")
    var (low, high) = (0, parts.count - 1)
    while low < high {
      let middle = (low + high + 1) / 2
      if parts[middle].first <= index { low = middle } else { high = middle - 1 }
    }
    return (parts[low], index - parts[low].first)
  }
}
