import ArgumentParser
import CellData
import Reports

/// `cnn-dist data synth`: synthetic cells as a folder of images.
struct DataSynthCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "synth", abstract: "Draw synthetic cells as a folder of PNG images.",
    discussion: """
      Writes a folder for each kind of cell, manifest.csv (path,label,split) and montage.png to look at. The same \
      seed gives the same images; the folder appears whole or not at all.

      Examples:
        cnn-dist data synth --out cells
        cnn-dist data synth --out grey-cells --images 20000 --size 32 --grey --kinds 8 --seed 7
      """)

  @Option(help: "The folder to make.") var out: String
  @Option(help: "Number of images, over all kinds and splits.") var images = 3000
  @Option(help: "Height and width of the images, in pixels.") var size = 64
  @Flag(help: "Grey images instead of RGB.") var grey = false
  @Option(help: "Number of kinds of cells.") var kinds = 6
  @Option(help: "The seed of the drawing and of the split.") var seed: UInt64 = 42

  func validate() throws {
    guard (2...CellKind.maximumCount).contains(kinds) else {
      throw ValidationError("--kinds expects 2 to \(CellKind.maximumCount), got \(kinds)")
    }
    guard images >= kinds else {
      throw ValidationError("--images expects at least one of each of the \(kinds) kinds, got \(images)")
    }
    guard (SyntheticCells.smallestSize...4096).contains(size) else {
      throw ValidationError("--size expects \(SyntheticCells.smallestSize) to 4096 pixels, got \(size)")
    }
  }

  func run() throws {
    try Program.runAlone {
      try write()
      try Program.output(
        """
        \(Figures.grouped(images)) images of \(kinds) kinds in \(out), listed in \(out)/manifest.csv
        to look at: \(out)/montage.png
        """)
    }
  }

  func write() throws {
    let cells = SyntheticCells(seed: seed, size: size, channels: grey ? 1 : 3, kinds: kinds)
    let progress = SlowProgress("images drawn")
    try SynthWriter(cells: cells, count: images, rule: SplitRule(seed: seed)).write(to: out) {
      progress.show($0, of: images)
    }
  }
}
