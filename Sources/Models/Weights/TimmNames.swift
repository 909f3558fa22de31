import Layers
import Tensors

/// The names that timm gives to the arrays of the zoo's families, where they aren't torchvision's (they are for
/// ResNet, ResNeXt and DenseNet).
enum TimmNames {
  /// The arrays by torchvision's names, where they are timm's for `network`.
  static func translated(_ arrays: [StoredArray], for network: Network) -> (
    arrays: [StoredArray], isTranslated: Bool
  ) {
    let wanted = Dictionary(network.layout.entries.map { ($0.name, $0.shape) }) { first, _ in first }
    let names = arrays.map(\.name)
    guard names.contains(where: isForeign), let rule = rule(for: names, wanted: Set(wanted.keys)) else {
      return (arrays, false)
    }
    let translated = arrays.map { array -> StoredArray in
      guard let name = rule(array.name) else { return array }
      var array = array
      array.name = name
      // A layer that is 1×1 or covers its input there, and linear here, or a scale that has its axes written out.
      if let shape = wanted[name], shape != array.shape, shape.rank != array.shape.rank,
        shape.count == array.shape.count, shape[0] == array.shape[0]
      {
        array.shape = shape
      }
      return array
    }
    return (translated, true)
  }

  /// Names that no network of torchvision has.
  private static func isForeign(_ name: String) -> Bool {
    ["conv_stem.", "stem.", "stages.", "blocks.", "pre_logits.", "head.fc."].contains { name.hasPrefix($0) }
  }

  private static func rule(for names: [String], wanted: Set<String>) -> ((String) -> String?)? {
    if names.contains(where: { $0.hasPrefix("stages.") }) { return convNeXt }
    if names.contains(where: { $0.hasPrefix("pre_logits.") }) { return vgg }
    guard names.contains(where: { $0.hasPrefix("conv_stem.") }) else { return nil }
    let blocks = MobileBlocks(names, wanted: wanted)
    return { blocks.name(of: $0) }
  }

  private static func vgg(_ name: String) -> String? {
    replacing(
      name,
      [
        ("pre_logits.fc1.", "classifier.0."), ("pre_logits.fc2.", "classifier.3."),
        ("head.fc.", "classifier.6."),
      ])
  }

  private static func convNeXt(_ name: String) -> String? {
    let parts = name.split(separator: ".")
    if parts[0] == "stages", parts.count > 3, let stage = Int(parts[1]) {
      let rest = parts.dropFirst(3).joined(separator: ".")
      if parts[2] == "downsample" { return "features.\(2 * stage).\(rest)" }
      let inBlock = rest.split(separator: ".", maxSplits: 1)
      guard inBlock.count == 2, let inside = convNeXtBlock(String(inBlock[1])) else { return nil }
      return "features.\(2 * stage + 1).\(inBlock[0]).\(inside)"
    }
    return replacing(
      name, [("stem.", "features.0."), ("head.norm.", "classifier.0."), ("head.fc.", "classifier.2.")])
  }

  private static func convNeXtBlock(_ name: String) -> String? {
    name == "gamma"
      ? "layer_scale"
      : replacing(
        name,
        [("conv_dw.", "block.0."), ("norm.", "block.2."), ("mlp.fc1.", "block.3."), ("mlp.fc2.", "block.5.")])
  }

  static func replacing(_ name: String, _ prefixes: [(timm: String, torchvision: String)]) -> String? {
    for (timm, torchvision) in prefixes where name.hasPrefix(timm) {
      return torchvision + name.dropFirst(timm.count)
    }
    return nil
  }
}

/// timm's `blocks.STAGE.BLOCK` of MobileNetV2, MobileNetV3 and EfficientNet.
private struct MobileBlocks {
  private enum Family { case mobileNetV2, mobileNetV3, efficientNet }

  private let family: Family
  /// Of each (stage, block), its number among all.
  private let numbers: [String: Int]
  /// Blocks that widen before their depthwise convolution, and those with squeeze-and-excitation.
  private let widening: Set<String>
  private let squeezing: Set<String>

  init(_ names: [String], wanted: Set<String>) {
    family =
      wanted.contains { $0.hasPrefix("features.1.conv.") }
      ? .mobileNetV2 : wanted.contains { $0.hasPrefix("features.1.0.") } ? .efficientNet : .mobileNetV3
    let ordered = Set(names.compactMap { Self.split($0)?.block }).map {
      ($0, $0.split(separator: ".").compactMap { Int($0) })
    }
    .sorted { ($0.1[0], $0.1[1]) < ($1.1[0], $1.1[1]) }
    numbers = Dictionary(uniqueKeysWithValues: ordered.enumerated().map { ($1.0, $0) })
    func blocks(with part: String) -> Set<String> {
      Set(names.compactMap(Self.split).filter { $0.rest.hasPrefix(part) }.map(\.block))
    }
    widening = blocks(with: "conv_pwl.")
    squeezing = blocks(with: "se.")
  }

  /// `blocks.2.1.bn1.weight` is (`2.1`, `bn1.weight`).
  private static func split(_ name: String) -> (block: String, rest: String)? {
    let parts = name.split(separator: ".")
    guard parts.count > 4 || (parts.count > 3 && parts[0] == "blocks"), parts[0] == "blocks",
      Int(parts[1]) != nil,
      Int(parts[2]) != nil
    else { return nil }
    return (parts[1...2].joined(separator: "."), parts.dropFirst(3).joined(separator: "."))
  }

  func name(of name: String) -> String? {
    guard let (block, rest) = Self.split(name), let number = numbers[block] else { return outside(name) }
    switch family {
    case .mobileNetV2:
      return inside(rest, block: block, last: 1).map { "features.\(number + 1).conv.\($0)" }
    case .mobileNetV3:
      if rest.hasPrefix("conv.") { return "features.\(number + 1).0." + rest.dropFirst(5) }
      if number + 1 == numbers.count, rest.hasPrefix("bn1.") {
        return "features.\(number + 1).1." + rest.dropFirst(4)
      }
      return inside(rest, block: block, last: 2).map { "features.\(number + 1).block.\($0)" }
    case .efficientNet:
      guard let stage = Int(block.split(separator: ".")[0]) else { return nil }
      return inside(rest, block: block, last: 2)
        .map { "features.\(stage + 1).\(block.split(separator: ".")[1]).block.\($0)" }
    }
  }

  /// - Parameter last: 2 where the last convolution and its norm are a pair as the others, 1 where they are two
  ///   members of the block.
  private func inside(_ name: String, block: String, last: Int) -> String? {
    let isWidening = widening.contains(block)
    let depthwise = isWidening ? 1 : 0
    let squeeze = depthwise + 1
    let final = squeeze + (squeezing.contains(block) ? 1 : 0)
    let (convolution, norm) = last == 2 ? ("\(final).0.", "\(final).1.") : ("\(final).", "\(final + 1).")
    let table =
      isWidening
      ? [
        ("conv_pw.", "0.0."), ("bn1.", "0.1."), ("conv_dw.", "1.0."), ("bn2.", "1.1."),
        ("conv_pwl.", convolution),
        ("bn3.", norm),
      ] : [("conv_dw.", "0.0."), ("bn1.", "0.1."), ("conv_pw.", convolution), ("bn2.", norm)]
    return TimmNames.replacing(
      name, table + [("se.conv_reduce.", "\(squeeze).fc1."), ("se.conv_expand.", "\(squeeze).fc2.")])
  }

  private func outside(_ name: String) -> String? {
    let stem = [("conv_stem.", "features.0.0."), ("bn1.", "features.0.1.")]
    let end: [(String, String)] =
      switch family {
      case .mobileNetV2:
        [
          ("conv_head.", "features.\(numbers.count + 1).0."), ("bn2.", "features.\(numbers.count + 1).1."),
          ("classifier.", "classifier.1."),
        ]
      case .mobileNetV3: [("conv_head.", "classifier.0."), ("classifier.", "classifier.3.")]
      case .efficientNet:
        [("conv_head.", "features.8.0."), ("bn2.", "features.8.1."), ("classifier.", "classifier.1.")]
      }
    return TimmNames.replacing(name, stem + end)
  }
}
