import Tensors

/// Lessons as a folder of web pages: an overview, a page for each topic. Pictures and style are files of the folder or
/// part of the page; nothing is fetched from elsewhere.
package enum LessonSite {
  /// The widths that pictures are drawn for; below the first one the narrow picture is shown.
  private static let (wide, narrow) = (900.0, 400.0)

  /// Writes the pages of `lessons` into `folder`. Throws `FileError`.
  package static func write(
    _ lessons: [(topic: LessonTopic, lesson: Lesson)], to folder: String
  ) throws(FileError) {
    try PictureFolder.make(folder)
    for (topic, lesson) in lessons {
      try draw(lesson.figure, "\(folder)/\(topic.name)")
      try DurableFile.write(
        lesson.figure.png(width: wide), to: "\(folder)/\(topic.name).png", waitingForDisk: false)
      for (number, step) in lesson.steps.enumerated() {
        try draw(step, "\(folder)/\(topic.name)-step\(number + 1)")
      }
      try save(page(topic, lesson, lessons.map(\.topic)), "\(folder)/\(topic.name).html")
    }
    try save(overview(lessons.map(\.topic)), "\(folder)/index.html")
  }

  private static func save(_ text: String, _ path: String) throws(FileError) {
    try DurableFile.write(Array(text.utf8), to: path, waitingForDisk: false)
  }

  /// Four pictures: light and dark, wide and narrow.
  private static func draw(_ figure: Figure, _ path: String) throws(FileError) {
    for theme in Theme.allCases {
      for (name, width) in [("wide", wide), ("narrow", narrow)] {
        try DurableFile.write(
          figure.svg(width: width, theme: theme), to: "\(path)-\(theme.rawValue)-\(name).svg",
          waitingForDisk: false)
      }
    }
  }

  private static func picture(_ name: String, _ words: String) -> String {
    """
    <picture>
      <source media="(prefers-color-scheme: dark) and (max-width: 700px)" srcset="\(name)-dark-narrow.svg">
      <source media="(max-width: 700px)" srcset="\(name)-light-narrow.svg">
      <source media="(prefers-color-scheme: dark)" srcset="\(name)-dark-wide.svg">
      <img src="\(name)-light-wide.svg" alt="\(escaped(words))">
    </picture>
    """
  }

  static func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
      .replacing("\"", with: "&quot;")
  }

  /// Text of a terminal for a page: paragraphs that flow, and what is indented (formulas, tables) as it is.
  package static func prose(_ text: String) -> String {
    var parts: [(isPlain: Bool, lines: [String])] = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
      let isPlain = !line.hasPrefix("  ")
      if line.isEmpty {
        // A blank line ends a paragraph, and separates parts of what is indented.
        if parts.last?.isPlain == false {
          parts[parts.count - 1].lines.append("")
        } else {
          parts.append((true, []))
        }
      } else if let last = parts.last, last.isPlain == isPlain {
        parts[parts.count - 1].lines.append(line)
      } else {
        parts.append((isPlain, [line]))
      }
    }
    return parts.filter { !$0.lines.isEmpty }.map { part in
      guard !part.isPlain else { return "<p>\(escaped(part.lines.joined(separator: " ")))</p>" }
      let lines = Array(part.lines.reversed().drop { $0.isEmpty }.reversed())
      return "<pre>\(escaped(lines.joined(separator: "\n")))</pre>"
    }.joined(separator: "\n")
  }

  private static func page(_ topic: LessonTopic, _ lesson: Lesson, _ topics: [LessonTopic]) -> String {
    let links = topics.map { other in
      other.name == topic.name
        ? "<span aria-current=\"page\">\(other.name)</span>"
        : "<a href=\"\(other.name).html\">\(other.name)</a>"
    }
    return document(
      topic.name,
      """
      <nav><a href="index.html">all lessons</a> \(links.joined(separator: " "))</nav>
      <h1>\(topic.name)</h1>
      <p>\(escaped(topic.sentence))</p>
      \(picture(topic.name, lesson.figure.title))
      \(stepper(topic, lesson))
      \(prose(lesson.text))
      """)
  }

  /// The steps one at a time: by buttons, or all below each other where scripts are off.
  private static func stepper(_ topic: LessonTopic, _ lesson: Lesson) -> String {
    guard !lesson.steps.isEmpty else { return "" }
    let steps = lesson.steps.indices.map { number in
      """
      <div class="step">\(picture("\(topic.name)-step\(number + 1)", lesson.steps[number].title))</div>
      """
    }
    return """
      <section id="stepper">
      <h2>Step by step</h2>
      <p class="buttons" hidden><button id="back">back</button> <button id="on">on</button> <span id="where"></span></p>
      \(steps.joined(separator: "\n"))
      </section>
      <script>
      const steps = [...document.querySelectorAll("#stepper .step")];
      let now = 0;
      function show() {
        steps.forEach((step, number) => { step.hidden = number !== now; });
        document.getElementById("where").textContent = `${now + 1} of ${steps.length}`;
      }
      document.querySelector("#stepper .buttons").hidden = false;
      document.getElementById("back").onclick = () => { now = (now + steps.length - 1) % steps.length; show(); };
      document.getElementById("on").onclick = () => { now = (now + 1) % steps.length; show(); };
      show();
      </script>
      """
  }

  private static func overview(_ topics: [LessonTopic]) -> String {
    let items = topics.map {
      "<li><a href=\"\($0.name).html\">\($0.name)</a> \(escaped($0.sentence))</li>"
    }
    return document(
      "Lessons",
      """
      <h1>What a convolutional network does</h1>
      <p>Each number on these pages was computed by the layers that cnn-dist trains with.</p>
      <ul>
      \(items.joined(separator: "\n"))
      </ul>
      """)
  }

  private static func document(_ title: String, _ body: String) -> String {
    let (light, dark) = (Theme.light, Theme.dark)
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <link rel="icon" href="data:,">
      <title>\(escaped(title)) · cnn-dist</title>
      <style>
      :root { --paper: \(light.background.hex); --ink: \(light.ink.hex); --faint: \(light.surface.hex); --link: \(light.series[0].hex); }
      @media (prefers-color-scheme: dark) {
        :root { --paper: \(dark.background.hex); --ink: \(dark.ink.hex); --faint: \(dark.surface.hex); --link: \(dark.series[0].hex); }
      }
      body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; margin: 0 auto;
        max-width: 940px; padding: 12px; }
      a { color: var(--link); }
      nav { font-size: 14px; line-height: 2; }
      nav a, nav span { margin-right: 10px; white-space: nowrap; display: inline-block; }
      img { max-width: 100%; height: auto; }
      pre { background: var(--faint); padding: 12px; overflow-x: auto; font-size: 13px; line-height: 1.4; border-radius: 6px; }
      li { margin: 6px 0; }
      button { font: inherit; padding: 4px 16px; }
      </style>
      </head>
      <body>
      \(body)
      </body>
      </html>

      """
  }
}
