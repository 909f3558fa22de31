/// Boxes and arrows: a network, a reduction tree. Boxes stand in levels from top to bottom; an arrow that passes
/// over levels runs around the boxes in between.
package struct BoxGraph: Panel {
  package struct Box: Sendable {
    package var text: String
    /// Below the text, small.
    package var note: String
    /// Boxes whose arrows arrive here.
    package var inputs: [Int]
    /// Which of the theme's colours its edge has; nil for none.
    package var series: Int?

    package init(_ text: String, note: String = "", inputs: [Int] = [], series: Int? = nil) {
      (self.text, self.note, self.inputs, self.series) = (text, note, inputs, series)
    }
  }

  package var title: String
  /// Each comes after those whose arrows arrive at it.
  package var boxes: [Box]

  package init(_ title: String, _ boxes: [Box]) {
    for (index, box) in boxes.enumerated() {
      precondition(
        box.inputs.allSatisfy { $0 < index },
        "box \(index) expects inputs before it, got \(box.inputs)")
    }
    (self.title, self.boxes) = (title, boxes)
  }

  private static let textSize = 11.0
  private static let noteSize = 9.5
  private static let levelGap = 16.0
  private static let gap = 12.0
  /// Room beside the boxes for each arrow that runs around some.
  private static let lane = 12.0

  /// The longest way to each box.
  private var levels: [Int] {
    var levels: [Int] = []
    for box in boxes { levels.append((box.inputs.map { levels[$0] }.max() ?? -1) + 1) }
    return levels
  }

  private var rows: [[Int]] {
    var rows: [[Int]] = []
    for (box, level) in levels.enumerated() {
      while rows.count <= level { rows.append([]) }
      rows[level].append(box)
    }
    return rows
  }

  private var boxHeight: Double { boxes.contains { !$0.note.isEmpty } ? 34 : 22 }

  private func boxWidth(_ box: Box) -> Double {
    18
      + max(
        TextWeight.regular.width(of: box.text, size: Self.textSize),
        TextWeight.regular.width(of: box.note, size: Self.noteSize))
  }

  /// Arrows that pass over a level at least.
  private var detours: [(from: Int, to: Int)] {
    let levels = levels
    return boxes.indices.flatMap { to in
      boxes[to].inputs.filter { levels[to] - levels[$0] > 1 }.map { (from: $0, to: to) }
    }
  }

  /// Which lane each detour runs in: those that overlap side by side.
  private var lanes: [Int] {
    let levels = levels
    var busy: [[Range<Int>]] = []
    return detours.map { from, to in
      let span = levels[from]..<levels[to]
      let lane = busy.firstIndex { !$0.contains { $0.overlaps(span) } } ?? busy.count
      if lane == busy.count { busy.append([]) }
      busy[lane].append(span)
      return lane
    }
  }

  private var laneRoom: Double { Double((lanes.max() ?? -1) + 1) * Self.lane + (lanes.isEmpty ? 0 : 6) }

  package var idealWidth: Double {
    let widest = rows.map { row in
      row.reduce(0) { $0 + boxWidth(boxes[$1]) } + Double(row.count - 1) * Self.gap
    }
    return max(90, (widest.max() ?? 0) + laneRoom)
  }

  package func height(width: Double) -> Double {
    Double(rows.count) * (boxHeight + Self.levelGap) - Self.levelGap
  }

  package func draw(on canvas: Canvas, in frame: Rect) {
    let theme = canvas.theme
    let shrink = min(1, (frame.width - laneRoom) / (idealWidth - laneRoom))
    var frames = Array(repeating: Rect(x: 0, y: 0, width: 0, height: 0), count: boxes.count)
    for (level, row) in rows.enumerated() {
      let widths = row.map { boxWidth(boxes[$0]) * shrink }
      let middles = row.map { box -> Double in
        let inputs = boxes[box].inputs.map { frames[$0].centre.x }
        return inputs.isEmpty
          ? frame.x + (frame.width - laneRoom) / 2 : inputs.reduce(0, +) / Double(inputs.count)
      }
      let lefts = Self.places(
        of: widths, around: middles, gap: Self.gap * shrink, in: frame.x...(frame.maxX - laneRoom))
      for (box, (x, width)) in zip(row, zip(lefts, widths)) {
        frames[box] = Rect(
          x: x, y: frame.y + Double(level) * (boxHeight + Self.levelGap), width: width, height: boxHeight)
      }
    }
    let (levels, rows) = (levels, rows)
    for (index, box) in boxes.enumerated() {
      for input in box.inputs where levels[index] - levels[input] == 1 {
        arrow(
          canvas,
          [Point(frames[input].centre.x, frames[input].maxY), Point(frames[index].centre.x, frames[index].y)])
      }
    }
    for ((from, to), lane) in zip(detours, lanes) {
      let x = frame.maxX - laneRoom + 6 + Self.lane * (Double(lane) + 0.5)
      let (start, end) = (frames[from], frames[to])
      // Beside other boxes the way leads through the gap below or above the row, not behind them.
      let leaves =
        rows[levels[from]].last == from
        ? [Point(start.maxX, start.centre.y), Point(x, start.centre.y)]
        : [Point(start.centre.x, start.maxY), Point(start.centre.x, start.maxY + Self.levelGap * 0.35)]
          + [Point(x, start.maxY + Self.levelGap * 0.35)]
      let arrives =
        rows[levels[to]].last == to
        ? [Point(x, end.centre.y), Point(end.maxX, end.centre.y)]
        : [Point(x, end.y - Self.levelGap * 0.65), Point(end.centre.x, end.y - Self.levelGap * 0.65)]
          + [Point(end.centre.x, end.y)]
      arrow(canvas, leaves + arrives)
    }
    for (box, rect) in zip(boxes, frames) {
      canvas.fill(rect, theme.surface, corner: 4)
      canvas.stroke(
        rect, box.series.map { theme.series[$0 % theme.series.count] } ?? theme.rule,
        width: box.series == nil ? 1 : 2, corner: 4)
      guard !box.note.isEmpty else {
        canvas.label(box.text, in: rect, size: Self.textSize, theme.ink)
        continue
      }
      let half = rect.height / 2
      canvas.label(
        box.text, in: Rect(x: rect.x, y: rect.y + 2, width: rect.width, height: half), size: Self.textSize,
        theme.ink)
      canvas.label(
        box.note, in: Rect(x: rect.x, y: rect.y + half - 2, width: rect.width, height: half),
        size: Self.noteSize, theme.faintInk)
    }
  }

  /// Where boxes of a level begin: each as near as can be below the middle of its inputs, in their order, apart from each
  /// other. Boxes that would meet stand side by side about the mean of their wishes.
  package static func places(
    of widths: [Double], around middles: [Double], gap: Double, in room: ClosedRange<Double>
  ) -> [Double] {
    /// Boxes side by side: where the first would begin by the wish of each, summed.
    struct Group {
      var wishes: Double
      var boxes: Int
      var width: Double
      func start(in room: ClosedRange<Double>) -> Double {
        max(room.lowerBound, min(wishes / Double(boxes), room.upperBound - width))
      }
    }
    var groups: [Group] = []
    for (width, middle) in zip(widths, middles) {
      groups.append(Group(wishes: middle - width / 2, boxes: 1, width: width))
      while groups.count > 1, let last = groups.last {
        let before = groups[groups.count - 2]
        let end = before.start(in: room) + before.width + gap
        guard last.start(in: room) < end - 1e-9 else { break }
        groups.removeLast()
        groups[groups.count - 1] = Group(
          wishes: before.wishes + last.wishes - Double(last.boxes) * (before.width + gap),
          boxes: before.boxes + last.boxes, width: before.width + gap + last.width)
      }
    }
    var places: [Double] = []
    for group in groups {
      var x = group.start(in: room)
      for width in widths[places.count..<(places.count + group.boxes)] {
        places.append(x)
        x += width + gap
      }
    }
    return places
  }

  private func arrow(_ canvas: Canvas, _ points: [Point]) {
    let (end, before) = (points[points.count - 1], points[points.count - 2])
    canvas.line(points, canvas.theme.faintInk, width: 1.25)
    let (dx, dy) = (end.x - before.x, end.y - before.y)
    let length = max((dx * dx + dy * dy).squareRoot(), 1e-9)
    let (x, y) = (dx / length, dy / length)
    canvas.polygon(
      [
        end, Point(end.x - 6 * x + 3 * y, end.y - 6 * y - 3 * x),
        Point(end.x - 6 * x - 3 * y, end.y - 6 * y + 3 * x),
      ], canvas.theme.faintInk)
  }
}
