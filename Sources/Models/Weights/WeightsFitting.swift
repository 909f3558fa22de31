import Layers
import Tensors

/// Which arrays of a file a network begins with.
package enum WeightsMatch: String, Sendable, Codable, CaseIterable {
  /// All but those of the head, and none left over.
  case exact
  /// Those that fit by name and shape; the others begin as without a file.
  case fitting
}

/// Lays the arrays of a file over the first values of a network, and says what it did.
package struct WeightsFitting {
  package var match: WeightsMatch
  package var inputAdaptation: InputAdaptation
  /// Whether the last layer keeps its first values though those of the file would fit, and why.
  package var newHead: String?

  package init(
    match: WeightsMatch = .exact, inputAdaptation: InputAdaptation = .sum, newHead: String? = nil
  ) {
    (self.match, self.inputAdaptation, self.newHead) = (match, inputAdaptation, newHead)
  }

  /// Overwrites what the file has of `values`. Returns a sentence for each thing that a user should know.
  /// Throws `WeightsError` that lists what is missing, misshapen or left over, as far as `match` doesn't allow it.
  package func load(
    _ file: WeightsFile, into values: FloatBuffer, of network: Network
  ) throws(WeightsError) -> [String] {
    var remarks = file.remarks
    let named = TimmNames.translated(file.arrays, for: network)
    if named.isTranslated { remarks.append("names are timm's, translated to torchvision's") }
    let arrays = Dictionary(named.arrays.map { ($0.name, $0) }) { first, _ in first }
    let places = WeightsPlaces(network)
    var report = WeightsReport()
    var used: Set<String> = []
    for entry in network.layout.entries {
      let isHead = places.head.contains(entry.name)
      guard let array = arrays[entry.name] else {
        if isHead { report.headless.append(entry.name) } else { report.missing.append(entry.name) }
        continue
      }
      used.insert(entry.name)
      if isHead && (newHead != nil || array.shape.isOfOtherClasses(than: entry.shape)) {
        report.newHead.append((array.name, array.shape, entry.shape))
      } else if let tensor = try fitted(array, to: entry, of: file, places, &remarks) {
        entry.fill(values.pointer, with: tensor.values)
      } else {
        report.misshapen.append((array.name, entry.shape, array.shape))
      }
    }
    report.unused = named.arrays.filter { !used.contains($0.name) && !$0.isCounter }.map(\.name)
    return remarks + (try report.sentences(path: file.path, match: match, newHead: newHead))
  }

  /// The array as the network has it; nil where its shape doesn't fit.
  private func fitted(
    _ array: StoredArray, to entry: FlatLayout.Entry, of file: WeightsFile, _ places: WeightsPlaces,
    _ remarks: inout [String]
  ) throws(WeightsError) -> Tensor? {
    if array.shape == entry.shape { return Tensor(shape: entry.shape, values: try file.values(of: array)) }
    guard entry.name == places.firstConvolution, array.shape.rank == 4, array.shape[1] > 0,
      array.shape.with(entry.shape[1], at: 1) == entry.shape
    else { return nil }
    let tensor = Tensor(shape: array.shape, values: try file.values(of: array))
    remarks.append(
      "\(entry.name): \(array.shape[1]) input channels made \(entry.shape[1]) (\(inputAdaptation.rawValue): "
        + "\(inputAdaptation.words))")
    return inputAdaptation.adapt(tensor, toChannels: entry.shape[1])
  }
}

/// The arrays of a network that another task may need otherwise.
struct WeightsPlaces {
  /// Of the last layer with weights, which tells the classes apart.
  let head: Set<String>
  /// The weight of the convolution that reads the images; nil where several do, or one by groups.
  let firstConvolution: String?

  init(_ network: Network) {
    head = Set(network.nodes.last { $0.layer is any ConvolvingLayer }?.parameters.map(\.name) ?? [])
    let readers = network.nodes.filter { $0.inputs.contains(.image) }
    let convolution = readers.first?.layer as? Conv2d
    firstConvolution =
      readers.count == 1 && convolution?.groups == 1 ? readers[0].parameters.first?.name : nil
  }
}

/// What didn't go over from a file to a network.
struct WeightsReport {
  var missing: [String] = []
  var misshapen: [(name: String, expected: Shape, got: Shape)] = []
  var unused: [String] = []
  var newHead: [(name: String, inFile: Shape, expected: Shape)] = []
  /// Arrays of the head that the file doesn't have.
  var headless: [String] = []

  /// Arrays that networks have for training only: GoogLeNet's auxiliary heads.
  private static let auxiliaries = ["aux1.", "aux2."]

  func sentences(path: String, match: WeightsMatch, newHead reason: String?) throws(WeightsError) -> [String]
  {
    let left = unused.filter { name in !Self.auxiliaries.contains { name.hasPrefix($0) } }
    let lists = [
      list("missing", missing),
      list("of another shape", misshapen.map { "\($0.name) (expects \($0.expected), got \($0.got))" }),
      list("left over", left),
    ].compactMap(\.self)
    if match == .exact, !lists.isEmpty {
      throw WeightsError(
        path: path,
        problem: "holds weights of another architecture than the model's: \(lists.joined(separator: "; ")). "
          + "model.weights_match: fitting takes what fits")
    }
    var sentences = lists
    if left.count < unused.count {
      sentences.append("auxiliary heads are left alone (\(unused.count - left.count) arrays)")
    }
    if let first = newHead.first {
      let why =
        reason ?? "the file has \(first.inFile[0]) classes, the model \(first.expected[0])"
      sentences.append("\(newHead.map(\.name).joined(separator: ", ")) begin anew: \(why)")
    }
    if !headless.isEmpty {
      sentences.append("\(headless.joined(separator: ", ")) begin anew: the file has none")
    }
    return sentences
  }

  private func list(_ what: String, _ names: [String]) -> String? {
    guard !names.isEmpty else { return nil }
    let most = 8
    let rest = names.count > most ? " and \(names.count - most) more" : ""
    return "\(names.count) \(what): \(names.prefix(most).joined(separator: ", "))\(rest)"
  }
}

extension Shape {
  func with(_ extent: Int, at axis: Int) -> Shape {
    var dimensions = dimensions
    dimensions[axis] = extent
    return Shape(dimensions)
  }

  /// Whether only the first extent, the number of outputs, differs.
  func isOfOtherClasses(than other: Shape) -> Bool {
    rank == other.rank && rank > 0 && self != other && with(other[0], at: 0) == other
  }
}
