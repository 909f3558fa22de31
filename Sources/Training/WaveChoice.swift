import Models

extension TrainingStep.Settings {
  /// How many microbatches lanes advance together, where `wave` leaves it open (0): all of a step, so that weights are read
  /// once and messages have the whole backward pass to hide behind. One, where the job has a single node and a wave
  /// of all would read and write far more activations outside the caches than it saves of weights and gradients:
  /// each further wave reads the weights again and adds to the gradients, about three times as many floats as there are
  /// parameters. The same on all ranks; no bit depends on it.
  ///
  /// Measured (64×64, four microbatches of 16 on one lane, three times by turns): one by one a step of LeNet-5 takes 15
  /// to 23 % less, of MobileNetV2 5 to 14 % (and 165 MB in the place of 350), of EfficientNet-B0 0 to 18 %; no difference
  /// beyond noise for SqueezeNet 1.1 and DenseNet-121, nor for the seed CNN and ResNet-18, which stay with all.
  package func waveInFlight(_ network: Network, nodes: Int) -> Int {
    guard wave == 0, nodes == 1, !network.poolsStatistics else { return wave }
    let most = layout.order.map { needs(ofRank: $0).wave }.max() ?? 0
    guard most > 1, let all = plan(network, wave: most), let one = plan(network, wave: 1) else { return wave }
    let (beyondCaches, weights) = (4 << 20, 3 * network.layout.parameterCount)
    return all.arenaCount > beyondCaches && all.arenaCount - one.arenaCount > (most - 1) * weights ? 1 : wave
  }
}
