//! Links lead somewhere, and every page is found from the map.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use testkit::pages::{self, Page, root};

const MAP: &str = "docs/README.md";

/// Where a link within the project leads: a path below its folder, and the heading.
fn target(page: &Page, link: &str) -> Option<(String, Option<String>)> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, heading) = match link.split_once('#') {
        Some((path, heading)) => (path, Some(heading.to_owned())),
        None => (link, None),
    };
    if path.is_empty() {
        return Some((page.path.clone(), heading));
    }
    let folder = Path::new(&page.path).parent().unwrap();
    let mut plain = PathBuf::new();
    for component in folder.join(path).components() {
        match component {
            Component::ParentDir => assert!(plain.pop(), "{}: {link} leads out of the project", page.path),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    Some((plain.display().to_string(), heading))
}

/// Fails if a link's file or heading is not there.
#[test]
fn every_link_within_the_project_leads_somewhere() {
    let mut checked = 0;
    for page in pages::all() {
        for (line, link) in page.links() {
            let Some((path, heading)) = target(&page, &link) else {
                assert!(link.starts_with("https://"), "{}:{line}: {link}", page.path);
                continue;
            };
            let place = format!("{}:{line}: {link}", page.path);
            assert!(root().join(&path).exists(), "{place}: there is no {path}");
            if let Some(heading) = heading {
                let anchors = Page::read(&path).anchors();
                assert!(anchors.contains(&heading), "{place}: {path} has {anchors:?}");
            }
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked}: this test looks at nothing");
}

/// Fails if a page names a file or folder of the project that is not there.
#[test]
fn every_path_that_is_named_exists() {
    const FOLDERS: [&str; 10] = [
        "src/",
        "tests/",
        "deploy/",
        "docs/",
        "lambda/",
        "benches/",
        "examples/",
        "fuzz/",
        ".ci/",
        ".github/",
    ];
    let mut checked = 0;
    for page in pages::all() {
        for (line, text) in page.prose() {
            let words = text
                .split('`')
                .skip(1)
                .step_by(2)
                .filter_map(|span| span.split(' ').next());
            for path in words.filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder))) {
                // Files of a kind are as good as their folder.
                let path = path.split('*').next().unwrap();
                assert!(root().join(path).exists(), "{}:{line}: there is no {path}", page.path);
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "{checked}: this test looks at nothing");
}

/// Fails if a page has no way to it from the map.
#[test]
fn every_page_is_found_from_the_map() {
    let (mut found, mut open) = (BTreeSet::new(), vec![MAP.to_owned()]);
    while let Some(path) = open.pop() {
        if !found.insert(path.clone()) {
            continue;
        }
        let page = Page::read(&path);
        let targets = page.links().into_iter().filter_map(|(_, link)| target(&page, &link));
        open.extend(targets.map(|(path, _)| path).filter(|path| path.ends_with(".md")));
    }
    let lost: Vec<String> = pages::all()
        .into_iter()
        .map(|page| page.path)
        .filter(|path| !found.contains(path))
        .collect();
    assert!(lost.is_empty(), "no page leads to {lost:?}: link them in {MAP}");
    let map = Page::read(MAP);
    let on_map: BTreeSet<String> = map
        .links()
        .iter()
        .filter_map(|(_, link)| Some(target(&map, link)?.0))
        .collect();
    for page in pages::all()
        .iter()
        .filter(|page| page.path.starts_with("docs/") && page.path != MAP)
    {
        assert!(on_map.contains(&page.path), "{} is not on the map itself", page.path);
    }
}

/// Fails if a page is too long for what it is for.
#[test]
fn the_first_pages_are_short() {
    for (path, most) in [("README.md", 180), (MAP, 60), ("CONTRIBUTING.md", 100)] {
        let lines = Page::read(path).text.lines().count();
        assert!(
            lines <= most,
            "{path} has {lines} lines, {most} at most: move something to docs/"
        );
    }
}
