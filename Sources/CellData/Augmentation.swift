import Tensors

/// What is varied in training. All are exact: no pixel is interpolated.
package struct Augmentation: Sendable, Equatable {
  package var randomCrop: Bool
  package var horizontalFlip: Bool
  package var verticalFlip: Bool
  package var quarterTurns: Bool

  package init(
    randomCrop: Bool = true, horizontalFlip: Bool = true, verticalFlip: Bool = true,
    quarterTurns: Bool = false
  ) {
    self.randomCrop = randomCrop
    self.horizontalFlip = horizontalFlip
    self.verticalFlip = verticalFlip
    self.quarterTurns = quarterTurns
  }

  /// The view of an image of `width` × `height` that stands at `position` of `epoch`. Words 0 to 4 of the
  /// stream decide top, left, mirroring, flipping and turning, so switching one leaves the others.
  package func view(width: Int, height: Int, size: Int, seed: UInt64, epoch: Int, position: Int) -> View {
    let random = RandomStream(seed: seed, purpose: .augmentation, epoch: epoch, position: position)
    var view = View.centre(width: width, height: height, size: size)
    if randomCrop {
      view.top = random.integer(at: 0, below: height - size + 1)
      view.left = random.integer(at: 1, below: width - size + 1)
    }
    view.isMirrored = horizontalFlip && random.integer(at: 2, below: 2) == 1
    view.isFlipped = verticalFlip && random.integer(at: 3, below: 2) == 1
    view.turns = quarterTurns ? random.integer(at: 4, below: 4) : 0
    return view
  }
}

/// A square cut out of an image, mirrored (left ↔ right), flipped (top ↔ bottom), then turned
/// anticlockwise by quarter turns.
package struct View: Sendable, Equatable {
  package var top: Int
  package var left: Int
  package var isMirrored = false
  package var isFlipped = false
  package var turns = 0

  package init(top: Int, left: Int, isMirrored: Bool = false, isFlipped: Bool = false, turns: Int = 0) {
    self.top = top
    self.left = left
    self.isMirrored = isMirrored
    self.isFlipped = isFlipped
    self.turns = turns
  }

  package static func centre(width: Int, height: Int, size: Int) -> View {
    precondition(
      width >= size && height >= size,
      "a crop of \(size) × \(size) doesn't fit an image of \(width) × \(height)")
    return View(top: (height - size) / 2, left: (width - size) / 2)
  }

  /// The pixel of the image that pixel (y, x) of the view shows.
  package func source(y: Int, x: Int, size: Int) -> (y: Int, x: Int) {
    let last = size - 1
    var (row, column) =
      switch turns % 4 {
      case 0: (y, x)
      case 1: (x, last - y)
      case 2: (last - y, last - x)
      default: (last - x, y)
      }
    if isFlipped { row = last - row }
    if isMirrored { column = last - column }
    return (top + row, left + column)
  }
}
