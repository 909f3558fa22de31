/// Where every array of a network lies in the flat buffers: values, gradients and optimizer state
/// all share this layout.
///
/// Parameters come first, in the order in which the forward pass uses them, so the backward pass
/// finishes them back to front and a bucket to reduce is a contiguous tail. The running statistics of
/// batch norm follow on a chunk border. A chunk is the grain of everything that is summed or shared
/// out over the flat buffer: slices of ranks begin on chunk borders.
///
/// What never changes (the arrays of frozen layers) lies behind all that: only the values have it, no gradient
/// and no state. A chunk before it is left to the metrics that ride behind the sums.
package struct FlatLayout: Sendable {
  package enum Role: Sendable, Equatable {
    case weight, bias, normScale, normShift, runningMean, runningVariance

    package var isStatistic: Bool { self == .runningMean || self == .runningVariance }
  }

  /// An array to lay out.
  package struct Declaration: Sendable {
    package let name: String
    package let shape: Shape
    package let role: Role
    package let storage: ArrayStorage
    /// Whether it keeps its values.
    package let isConstant: Bool

    package init(
      _ name: String, _ shape: Shape, _ role: Role, _ storage: ArrayStorage = .plain, isConstant: Bool = false
    ) {
      self.name = name
      self.shape = shape
      self.role = role
      self.storage = storage
      self.isConstant = isConstant
    }
  }

  package struct Entry: Sendable {
    package let name: String
    /// As PyTorch and files know it.
    package let shape: Shape
    package let role: Role
    package let storage: ArrayStorage
    package let offset: Int
    /// Where it lies, with the zeros that its storage pads it with.
    package var range: Range<Int> { offset..<(offset + storage.count(of: shape)) }

    /// The array of a flat buffer, in the order of `shape`.
    package func array(in flat: UnsafePointer<Float>) -> [Float] { storage.unpack(flat + offset, shape) }

    /// Overwrites the array in a flat buffer by values in the order of `shape`.
    package func fill(_ flat: UnsafeMutablePointer<Float>, with values: [Float]) {
      storage.pack(values, shape, into: flat + offset)
    }
  }

  /// Floats in a chunk.
  package static let chunk = 1024

  /// What is trained, and what follows the batches' statistics.
  package let parameters: [Entry]
  package let statistics: [Entry]
  /// What keeps its values.
  package let constants: [Entry]
  /// All of them: first every parameter, then every running statistic, each in the order of the forward pass,
  /// whatever is constant.
  package let entries: [Entry]
  /// Floats that the parameters take, padding included; statistics begin here.
  package let parameterExtent: Int
  /// Floats of parameters and statistics, a multiple of `chunk`: what is summed and updated.
  package let summedExtent: Int
  /// Floats in all, a multiple of `chunk`.
  package let extent: Int

  /// Lays out declared arrays one after another, each on a 64-byte border.
  package init(parameters: [Declaration], statistics: [Declaration]) {
    var end = 0
    func place(_ array: Declaration) -> Entry {
      let entry = Entry(
        name: array.name, shape: array.shape, role: array.role, storage: array.storage, offset: end)
      end = (entry.range.upperBound + 15) / 16 * 16
      return entry
    }
    func closeChunk() { end = (end + Self.chunk - 1) / Self.chunk * Self.chunk }
    self.parameters = parameters.filter { !$0.isConstant }.map(place)
    closeChunk()
    parameterExtent = end
    self.statistics = statistics.filter { !$0.isConstant }.map(place)
    closeChunk()
    summedExtent = end
    let constants = (parameters + statistics).filter(\.isConstant)
    if !constants.isEmpty { end += Self.chunk }
    self.constants = constants.map(place)
    closeChunk()
    extent = end
    var placed = [self.parameters[...], self.constants.prefix { !$0.role.isStatistic }]
    var statisticsPlaced = [self.statistics[...], self.constants.drop { !$0.role.isStatistic }]
    entries =
      parameters.compactMap { placed[$0.isConstant ? 1 : 0].popFirst() }
      + statistics.compactMap { statisticsPlaced[$0.isConstant ? 1 : 0].popFirst() }
  }

  /// The number of values that training can change, frozen or not, without padding.
  package var parameterCount: Int {
    entries.reduce(0) { $0 + ($1.role.isStatistic ? 0 : $1.shape.count) }
  }

  /// The number of values that are trained, without padding.
  package var trainedCount: Int { parameters.reduce(0) { $0 + $1.shape.count } }

  /// Floats of a buffer for the values, with the metrics of a step at `summedExtent`.
  package var valuesExtent: Int { max(extent, summedExtent + Self.chunk) }
}
