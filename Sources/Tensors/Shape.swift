/// The extents of an array, outermost first.
package struct Shape: Hashable, Sendable, ExpressibleByArrayLiteral, CustomStringConvertible {
  package let dimensions: [Int]

  package init(_ dimensions: [Int]) {
    precondition(
      dimensions.allSatisfy { $0 >= 0 }, "a shape expects extents of at least 0, got \(dimensions)")
    self.dimensions = dimensions
  }

  package init(arrayLiteral dimensions: Int...) { self.init(dimensions) }

  package var rank: Int { dimensions.count }
  package var count: Int { dimensions.reduce(1, *) }
  package subscript(axis: Int) -> Int { dimensions[axis] }

  package var description: String { "(" + dimensions.map(String.init).joined(separator: ", ") + ")" }
}
