import Models

extension TrainingStep.Settings {
  /// How many microbatches lanes advance together, where `wave` leaves it open (0): all of a step, so that weights are read
  /// once and messages have the whole backward pass to hide behind. One, where the job has a single node and a wave
  /// of all would read and write far more activations outside the caches than it saves of weights and gradients:
  /// each further wave reads the weights again and adds to the gradients, about five times as many floats as there are
  /// parameters. The same on all ranks; no bit depends on it.
  ///
  /// Measured (64×64, four microbatches of 16 on one lane): of MobileNetV2 a step takes 11 % less one by one, of
  /// DenseNet-121 7 %; of the seed CNN and ResNet-18, with more weights for what they keep, 5 % and 2 % more.
  package func waveInFlight(_ network: Network, nodes: Int) -> Int {
    guard wave == 0, nodes == 1, !network.poolsStatistics else { return wave }
    let most = layout.order.map { needs(ofRank: $0).wave }.max() ?? 0
    guard most > 1, let all = plan(network, wave: most), let one = plan(network, wave: 1) else { return wave }
    let (beyondCaches, weights) = (4 << 20, 5 * network.layout.parameterCount)
    return all.arenaCount > beyondCaches && all.arenaCount - one.arenaCount > (most - 1) * weights ? 1 : wave
  }
}
