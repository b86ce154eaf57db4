//! The pages of the project, read as a person does who copies commands from them: headings, links, tables and blocks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A page of Markdown.
#[derive(Clone, Debug)]
pub struct Page {
    /// Where it is, below the project's folder: `docs/words.md`.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// A fenced block.
#[derive(Clone, Debug)]
pub struct Block {
    /// What stands behind its fence.
    pub language: String,
    /// The line of the fence, counted from 1.
    pub line: usize,
    /// What is in it, without the indentation of a list that it belongs to.
    pub text: String,
}

/// A command of a block that a shell reads.
#[derive(Clone, Debug)]
pub struct Command {
    /// The line that it begins in, counted from 1.
    pub line: usize,
    /// The command in one line.
    pub text: String,
}

/// The project's folder.
pub fn root() -> PathBuf {
    let testkit = Path::new(env!("CARGO_MANIFEST_DIR"));
    testkit
        .ancestors()
        .nth(2)
        .expect("testkit lies two folders deep")
        .into()
}

/// Every page of the project, by path.
///
/// # Panics
/// If a folder or a page cannot be read.
pub fn all() -> Vec<Page> {
    let root = root();
    let (mut folders, mut paths) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if name.ends_with(".md") {
                paths.push(path.strip_prefix(&root).expect("it is below").display().to_string());
            }
        }
    }
    paths.sort();
    paths.iter().map(|path| Page::read(path)).collect()
}

impl Page {
    /// The page at a path below the project's folder.
    ///
    /// # Panics
    /// If it cannot be read.
    #[track_caller]
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let path = path.to_owned();
        Self { path, text }
    }

    /// Its fenced blocks, in order.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let Some((indent, language)) = line.split_once("```") else {
                continue;
            };
            if !indent.trim().is_empty() {
                continue;
            }
            let inside = lines
                .by_ref()
                .map(|(_, line)| line.strip_prefix(indent).unwrap_or(line));
            let inside = inside.take_while(|line| *line != "```");
            blocks.push(Block {
                language: language.to_owned(),
                line: number + 1,
                text: inside.map(|line| format!("{line}\n")).collect(),
            });
        }
        blocks
    }

    /// The texts of its blocks of a language, in order.
    pub fn blocks_of(&self, language: &str) -> Vec<String> {
        let blocks = self.blocks().into_iter().filter(|block| block.language == language);
        blocks.map(|block| block.text).collect()
    }

    /// The commands of its blocks for a shell, in order.
    pub fn commands(&self) -> Vec<Command> {
        let shell = self.blocks().into_iter().filter(|block| block.language == "sh");
        shell.flat_map(|block| block.commands()).collect()
    }

    /// The variables that its commands set.
    pub fn exports(&self) -> Vec<(String, String)> {
        let exports = self.commands().into_iter();
        exports
            .filter_map(|command| {
                let (name, value) = command.text.strip_prefix("export ")?.split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect()
    }

    /// What is no block, each line with its number, counted from 1.
    pub fn prose(&self) -> Vec<(usize, &str)> {
        let mut is_inside = false;
        let lines = self.text.lines().enumerate();
        let lines = lines.filter(|(_, line)| {
            let is_fence = line.trim_start().starts_with("```");
            is_inside ^= is_fence;
            !is_fence && !is_inside
        });
        lines.map(|(number, line)| (number + 1, line)).collect()
    }

    /// What stands below a heading, up to the next of the same rank or a higher one.
    ///
    /// # Panics
    /// If there is no such heading.
    #[track_caller]
    pub fn section(&self, heading: &str) -> &str {
        let rank = |line: &str| line.chars().take_while(|char| *char == '#').count();
        let prose = self.prose();
        let start = prose.iter().position(|(_, line)| *line == heading);
        let start = start.unwrap_or_else(|| panic!("{} has no {heading}", self.path));
        let ends = |line: &str| (1..=rank(heading)).contains(&rank(line));
        let end = prose[start + 1..].iter().find(|(_, line)| ends(line));
        let offset = |number: usize| {
            self.text
                .split_inclusive('\n')
                .take(number)
                .map(str::len)
                .sum::<usize>()
        };
        let end = end.map_or(self.text.len(), |(number, _)| offset(number - 1));
        &self.text[offset(prose[start].0)..end]
    }

    /// The names that a link to a heading of the page may end in, as GitHub makes them.
    pub fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose().into_iter().filter(|(_, line)| line.starts_with('#'));
        headings.map(|(_, line)| anchor(line.trim_start_matches('#'))).collect()
    }

    /// The targets of its links, each with its line.
    pub fn links(&self) -> Vec<(usize, String)> {
        // A link may go on in the next line, its target does not.
        let mut links = Vec::new();
        for (number, line) in self.prose() {
            let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            links.extend(targets.map(|target| (number, target.to_owned())));
        }
        links
    }
}

impl Block {
    /// Its commands, if it is for a shell; a line that ends in a backslash goes on in the next, as does one within a quote.
    fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        let mut goes_on = false;
        for (number, line) in self.text.lines().enumerate() {
            let part = line.strip_suffix('\\').unwrap_or(line).trim();
            match commands.last_mut().filter(|_| goes_on) {
                Some(command) => command.text = format!("{} {part}", command.text),
                None if part.is_empty() || part.starts_with('#') => {}
                None => commands.push(Command {
                    line: self.line + 1 + number,
                    text: part.to_owned(),
                }),
            }
            goes_on = line.ends_with('\\');
        }
        commands
    }
}

/// The rows of the table in a text, without its head, each as its cells.
pub fn rows(text: &str) -> Vec<Vec<String>> {
    let table = text.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = table.take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        // A bar in a cell is written with a backslash.
        let row = row.replace("\\|", "\0");
        let cells = row.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().replace('\0', "|")).collect()
    })
    .collect()
}

/// The text within the first pair of backticks of a cell; the whole cell if it has none.
pub fn code(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or(cell)
}

fn anchor(heading: &str) -> String {
    let heading = heading.trim().to_lowercase();
    let kept = heading
        .chars()
        .filter(|char| char.is_alphanumeric() || " -_".contains(*char));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r"# A page: of two

See [there](other.md#a-heading) and [here](#step-1-begin).

## Step 1: begin

- in a list

  ```sh
  # why
  export NAME=value
  run --this \
      --and-that
  ```

```ini
# no heading
```

| a | b |
|---|---|
| `one\|two` | [x](y) |

## End

```toml
# [no](link)
```
";

    fn page() -> Page {
        Page {
            path: "page.md".to_owned(),
            text: PAGE.to_owned(),
        }
    }

    #[test]
    fn commands_are_read_line_by_line() {
        let commands = page().commands();
        let commands: Vec<(usize, &str)> = commands.iter().map(|command| (command.line, &*command.text)).collect();
        assert_eq!(commands, [(11, "export NAME=value"), (12, "run --this --and-that")]);
        assert_eq!(page().exports(), [("NAME".to_owned(), "value".to_owned())]);
        assert_eq!(page().blocks_of("toml"), ["# [no](link)\n"]);
    }

    #[test]
    fn links_are_those_of_the_prose_and_lead_to_headings() {
        let links: Vec<String> = page().links().into_iter().map(|(_, target)| target).collect();
        assert_eq!(links, ["other.md#a-heading", "#step-1-begin", "y"]);
        let anchors: Vec<String> = page().anchors().into_iter().collect();
        assert_eq!(anchors, ["a-page-of-two", "end", "step-1-begin"]);
    }

    #[test]
    fn a_section_ends_at_the_next_and_its_table_is_read() {
        let page = page();
        let section = page.section("## Step 1: begin");
        assert!(!section.contains("toml"), "{section}");
        assert_eq!(rows(section), [["`one|two`", "[x](y)"]]);
        assert_eq!(code("`one|two` and `three`"), "one|two");
    }
}
