//! What of the workspace is not recorded: the setting `workspace.exclude`.
//!
//! Patterns stand one per line or separated by commas. One without a slash means every file and
//! directory of that name, as `node_modules`; one with a slash means a path from the root, as
//! `build/cache`. `*` stands for any part of a name. Nothing is excluded unless somebody says so.
//! What is excluded is left alone on both sides: neither recorded, nor deleted, nor restored.

/// The patterns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exclude(Vec<Vec<String>>);

impl Exclude {
    /// Reads the setting.
    pub fn parse(text: &str) -> Exclude {
        let patterns = text.split(['\n', ',']).map(str::trim);
        let names = |pattern: &str| -> Vec<String> {
            let pattern = pattern.trim_end_matches('/');
            pattern.split('/').map(str::to_owned).collect()
        };
        Exclude(patterns.filter(|p| !p.is_empty()).map(names).collect())
    }

    /// Whether a path, or a directory in which it lies, is excluded.
    pub fn matches(&self, path: &str) -> bool {
        self.0.iter().any(|pattern| match pattern.as_slice() {
            [name] => path.split('/').any(|part| fits(name, part)),
            names => {
                // `/build` is `build` in the root only.
                let names = names.iter().filter(|name| !name.is_empty());
                let mut parts = path.split('/');
                let mut names = names.peekable();
                names.peek().is_some()
                    && names.all(|name| parts.next().is_some_and(|part| fits(name, part)))
            }
        })
    }
}

/// Whether a name fits a pattern with `*`.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(begin) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let end = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match name.split_once(piece) {
            Some((_, after)) => name = after,
            None => return false,
        }
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_excluded_everywhere_and_a_path_at_its_place() {
        let exclude = Exclude::parse("node_modules, *.log\nbuild/cache, /top, a*b*c");
        for path in [
            "node_modules",
            "x/node_modules/y/z",
            "x/error.log",
            "build/cache",
            "build/cache/x",
            "top/x",
            "x/a-b-c",
        ] {
            assert!(exclude.matches(path), "{path}");
        }
        for path in [
            "node_modules2",
            "x/build/cache",
            "build",
            "x/top",
            "log",
            "a-c",
            "ab",
        ] {
            assert!(!exclude.matches(path), "{path}");
        }
        assert!(!Exclude::parse(" ,\n").matches("anything"));
        assert!(!Exclude::parse("/").matches("anything"));
    }
}
