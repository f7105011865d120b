//! Random requests, many in flight, against the simplest server that there can be: one request after
//! the other.

use super::*;
use proptest::prelude::*;
use sansftp_proto::sftp::kind;
use sansftp_proto::sftp::messages::{Fsetstat, Fstat, Remove, Rename, Stat};

const PATHS: [&[u8]; 3] = [b"/a", b"/b", b"/c"];

#[derive(Debug, Clone)]
enum Step {
    Open(usize),
    Close(usize),
    Write(usize, u64, Vec<u8>),
    Read(usize, u64, u32),
    Truncate(usize, u64),
    Size(usize),
    Rename(usize, usize),
    Remove(usize),
    Stat(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (path, handle, offset) = (0..PATHS.len(), 0..4_usize, 0..40_u64);
    prop_oneof![
        2 => path.clone().prop_map(Step::Open),
        1 => handle.clone().prop_map(Step::Close),
        6 => (handle.clone(), offset.clone(), prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(handle, offset, data)| Step::Write(handle, offset, data)),
        6 => (handle.clone(), offset.clone(), 0..50_u32)
            .prop_map(|(handle, offset, len)| Step::Read(handle, offset, len)),
        1 => (handle.clone(), offset).prop_map(|(handle, size)| Step::Truncate(handle, size)),
        2 => handle.prop_map(Step::Size),
        1 => (path.clone(), path.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => path.clone().prop_map(Step::Remove),
        1 => path.prop_map(Step::Stat),
    ]
}

/// Files by number, and the names they have.
#[derive(Default)]
struct Model {
    files: Vec<Vec<u8>>,
    names: HashMap<usize, usize>,
    /// By the order of opening; `None` once closed.
    handles: Vec<Option<usize>>,
}

/// What came of a step, whatever it was.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Done,
    Data(Vec<u8>),
    Size(u64),
    Failed(StatusCode),
}

impl Model {
    fn file(&mut self, handle: usize) -> Option<&mut Vec<u8>> {
        let file = (*self.handles.get(handle)?)?;
        self.files.get_mut(file)
    }

    fn step(&mut self, step: &Step) -> Came {
        let failed = Came::Failed(StatusCode::FAILURE);
        match step {
            Step::Open(path) => {
                let next = self.files.len();
                let file = *self.names.entry(*path).or_insert(next);
                if file == next {
                    self.files.push(Vec::new());
                }
                self.handles.push(Some(file));
                Came::Done
            }
            Step::Close(handle) => match self.handles.get_mut(*handle).and_then(Option::take) {
                Some(_) => Came::Done,
                None => failed,
            },
            Step::Write(handle, offset, data) => {
                let Some(file) = self.file(*handle) else {
                    return failed;
                };
                let at = *offset as usize;
                if !data.is_empty() {
                    file.resize(file.len().max(at + data.len()), 0);
                    file[at..at + data.len()].copy_from_slice(data);
                }
                Came::Done
            }
            Step::Read(handle, offset, len) => {
                let Some(file) = self.file(*handle) else {
                    return failed;
                };
                let rest = file.get(*offset as usize..).unwrap_or_default();
                let some = &rest[..rest.len().min(*len as usize)];
                if some.is_empty() && *len > 0 {
                    return Came::Failed(StatusCode::EOF);
                }
                Came::Data(some.to_vec())
            }
            Step::Truncate(handle, size) => match self.file(*handle) {
                Some(file) => {
                    file.resize(*size as usize, 0);
                    Came::Done
                }
                None => failed,
            },
            Step::Size(handle) => match self.file(*handle) {
                Some(file) => Came::Size(file.len() as u64),
                None => failed,
            },
            Step::Rename(from, to) => {
                if !self.names.contains_key(from) {
                    return Came::Failed(StatusCode::NO_SUCH_FILE);
                }
                if self.names.contains_key(to) {
                    return failed;
                }
                let file = self.names.remove(from).unwrap();
                self.names.insert(*to, file);
                Came::Done
            }
            Step::Remove(path) => match self.names.remove(path) {
                Some(_) => Came::Done,
                None => Came::Failed(StatusCode::NO_SUCH_FILE),
            },
            Step::Stat(path) => match self.names.get(path) {
                Some(file) => Came::Size(self.files[*file].len() as u64),
                None => Came::Failed(StatusCode::NO_SUCH_FILE),
            },
        }
    }
}

/// A request in flight.
enum Flying {
    Status(Pending<kind::Status>),
    Data(Pending<kind::Data>),
    Attrs(Pending<kind::Attrs>),
    Refused,
}

struct Real {
    session: Session,
    /// By the order of opening.
    handles: Vec<Handle>,
}

impl Real {
    fn send(&mut self, step: &Step) -> Flying {
        let session = &mut self.session;
        let handle = |at: &usize| self.handles.get(*at).cloned();
        match step {
            Step::Open(path) => {
                // Nobody can use a handle before it is there.
                let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
                let handle = session.open(PATHS[*path], flags);
                self.handles.push(handle);
                Flying::Refused
            }
            Step::Close(at) => match handle(at) {
                Some(handle) => Flying::Status(session.send(&Close {
                    handle: handle.as_bytes(),
                })),
                None => Flying::Refused,
            },
            Step::Write(at, offset, data) => match handle(at) {
                Some(handle) => Flying::Status(session.write(&handle, *offset, data)),
                None => Flying::Refused,
            },
            Step::Read(at, offset, len) => match handle(at) {
                Some(handle) => Flying::Data(session.send(&read(&handle, *offset, *len))),
                None => Flying::Refused,
            },
            Step::Truncate(at, size) => match handle(at) {
                Some(handle) => Flying::Status(session.send(&Fsetstat {
                    handle: handle.as_bytes(),
                    attrs: Attrs {
                        size: Some(*size),
                        ..Attrs::default()
                    },
                })),
                None => Flying::Refused,
            },
            Step::Size(at) => match handle(at) {
                Some(handle) => Flying::Attrs(session.send(&Fstat {
                    handle: handle.as_bytes(),
                })),
                None => Flying::Refused,
            },
            Step::Rename(from, to) => Flying::Status(session.send(&Rename {
                oldpath: PATHS[*from],
                newpath: PATHS[*to],
            })),
            Step::Remove(path) => Flying::Status(session.send(&Remove {
                filename: PATHS[*path],
            })),
            Step::Stat(path) => Flying::Attrs(session.send(&Stat { path: PATHS[*path] })),
        }
    }

    fn take(&mut self, flying: Flying) -> Option<Came> {
        let came = match flying {
            Flying::Status(pending) => self.session.take(pending).map(|()| Came::Done),
            Flying::Data(pending) => self.session.take(pending).map(|it| Came::Data(bytes(&it))),
            Flying::Attrs(pending) => {
                let attrs = self.session.take(pending);
                attrs.map(|it| Came::Size(it.size.unwrap()))
            }
            Flying::Refused => return None,
        };
        Some(came.unwrap_or_else(|status| Came::Failed(status.code)))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The outcome is as if requests were processed one at a time, however many are in flight
    /// (draft-ietf-secsh-filexfer-02 §6.1).
    #[test]
    fn it_is_as_if_requests_came_one_at_a_time(steps in prop::collection::vec(step(), 0..80)) {
        let mut model = Model::default();
        let mut real = Real {
            session: Session::over(&MemFs::default()),
            handles: Vec::new(),
        };
        let flying: Vec<_> = steps.iter().map(|step| real.send(step)).collect();
        for (step, flying) in steps.iter().zip(flying) {
            let expected = model.step(step);
            if let Some(came) = real.take(flying) {
                prop_assert_eq!(came, expected, "{:?}", step);
            }
        }
        prop_assert_eq!(real.session.finish().error, None);
    }
}
