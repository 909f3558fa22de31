import Foundation
import Tensors

/// The outlines of a typeface's letters. Text is drawn as shapes, so that no font need be installed, neither
/// where a picture is made nor where it is looked at.
package struct Outlines: Sendable {
  /// An outline in units of the em, y upwards from the baseline.
  enum Command: Sendable, Equatable {
    case move(Point)
    case line(Point)
    /// A quadratic curve over a control point.
    case curve(Point, Point)
    case close
  }

  struct Glyph: Sendable {
    /// How far the next letter stands to the right.
    var advance: Double
    var commands: [Command]
  }

  /// Units of the em in the text form.
  private static let em = 1024.0

  private let glyphs: [UInt32: Glyph]

  /// Reads the form that scripts/font_outlines.py writes: `code advance commands` between bars, code in
  /// hexadecimal, each point relative to the one before.
  init(_ text: String) {
    var glyphs: [UInt32: Glyph] = [:]
    for row in text.utf8.split(separator: UInt8(ascii: "|")) {
      let parts = row.split(
        separator: UInt8(ascii: " "), maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3, let code = UInt32(String(parts[0]) ?? "", radix: 16),
        let advance = Double(String(parts[1]) ?? "")
      else { preconditionFailure("an outline expects code, advance and commands") }
      glyphs[code] = Glyph(advance: advance / Self.em, commands: Self.commands(Array(parts[2])))
    }
    self.glyphs = glyphs
  }

  private static func commands(_ text: [UInt8]) -> [Command] {
    var commands: [Command] = []
    var (last, start) = (Point(0, 0), Point(0, 0))
    var position = 0
    func number() -> Double {
      if position < text.count, text[position] == UInt8(ascii: " ") { position += 1 }
      var (value, isNegative) = (0.0, false)
      if position < text.count, text[position] == UInt8(ascii: "-") {
        isNegative = true
        position += 1
      }
      while position < text.count, (48...57).contains(text[position]) {
        value = value * 10 + Double(text[position] - 48)
        position += 1
      }
      return (isNegative ? -value : value) / em
    }
    func point() -> Point {
      last = Point(last.x + number(), last.y + number())
      return last
    }
    while position < text.count {
      let letter = text[position]
      position += 1
      switch letter {
      case UInt8(ascii: "m"):
        start = point()
        commands.append(.move(start))
      case UInt8(ascii: "l"): commands.append(.line(point()))
      case UInt8(ascii: "q"): commands.append(.curve(point(), point()))
      default:
        commands.append(.close)
        last = start
      }
    }
    return commands
  }

  /// A character that the typeface doesn't have is an empty box.
  private static let missing = Glyph(
    advance: 0.6,
    commands: [
      .move(Point(0.08, 0)), .line(Point(0.52, 0)), .line(Point(0.52, 0.7)), .line(Point(0.08, 0.7)), .close,
      .move(Point(0.13, 0.05)), .line(Point(0.13, 0.65)), .line(Point(0.47, 0.65)), .line(Point(0.47, 0.05)),
      .close,
    ])

  /// The letters of a line; accents joined to their letters, control characters as blanks, what a bold face
  /// doesn't have from the regular one.
  func glyphs(of text: String) -> [Glyph] {
    text.precomposedStringWithCanonicalMapping.unicodeScalars.map { scalar in
      let code = max(scalar.value, 0x20)
      return glyphs[code] ?? Self.regular.glyphs[code] ?? Self.missing
    }
  }

  package func has(_ scalar: Unicode.Scalar) -> Bool { glyphs[scalar.value] != nil }
}

/// The weight of letters.
package enum TextWeight: Sendable {
  case regular
  case bold

  package var outlines: Outlines { self == .regular ? .regular : .bold }

  /// How wide a line is.
  package func width(of text: String, size: Double) -> Double {
    outlines.glyphs(of: text).reduce(0) { $0 + $1.advance } * size
  }

  /// The text in lines of at most `width`, broken at blanks and at line ends; a longer word is broken anywhere.
  package func lines(of text: String, size: Double, width: Double) -> [String] {
    text.split(separator: "\n", omittingEmptySubsequences: false).flatMap { paragraph -> [String] in
      var (lines, line) = ([String](), "")
      for word in paragraph.split(separator: " ") {
        let longer = line.isEmpty ? String(word) : line + " " + word
        if self.width(of: longer, size: size) <= width {
          line = longer
          continue
        }
        if !line.isEmpty { lines.append(line) }
        line = ""
        for letter in word {
          if !line.isEmpty, self.width(of: line + String(letter), size: size) > width {
            lines.append(line)
            line = ""
          }
          line.append(letter)
        }
      }
      return lines + [line]
    }
  }

  /// The text, cut off with an ellipsis where it is wider than `width`.
  package func cut(_ text: String, size: Double, width: Double) -> String {
    guard self.width(of: text, size: size) > width else { return text }
    var short = text
    while !short.isEmpty, self.width(of: short + "…", size: size) > width { short.removeLast() }
    return short + "…"
  }
}
