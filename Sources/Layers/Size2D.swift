/// A height and a width: of a kernel, a stride, a padding. `3` stands for 3×3.
package struct Size2D: Hashable, Sendable, ExpressibleByIntegerLiteral, CustomStringConvertible {
  package var height: Int
  package var width: Int

  package init(_ height: Int, _ width: Int) {
    self.height = height
    self.width = width
  }

  package init(_ both: Int) { self.init(both, both) }
  package init(integerLiteral both: Int) { self.init(both) }

  package var area: Int { height * width }
  package var description: String { "(\(height), \(width))" }
}
