package fakegraph

import (
	"encoding/hex"
	"slices"
	"strings"
)

// File is a file or folder of a drive, for tests to look at.
type File struct {
	Path   string // "/Pictures/tabby.jpg"
	Name   string
	ID     string
	Size   int64
	SHA256 string // lower-case hex; empty for folders and where nothing was hashed
	Sent   string // SHA256 of what was uploaded, where the drive has changed it since
	ETag   string
	Source string // where upload-from-URL took it, without query
	Folder bool
}

// Files are all files of an account's drive in the order of their paths; folders are left out.
func (s *Server) Files(login string) []File {
	files := s.Entries(login)
	return slices.DeleteFunc(files, func(f File) bool { return f.Folder })
}

// Entries are all files and folders of an account's drive in the order of their paths.
func (s *Server) Entries(login string) []File {
	d := s.driveOf(s.account(login))
	if d == nil {
		return nil
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	files := make([]File, 0, len(d.items))
	for _, it := range d.items {
		if it.parent == nil {
			continue
		}
		f := File{Path: it.path(), Name: it.name, ID: it.id, Size: it.size(), ETag: it.eTag(), Source: it.source, Folder: it.isFolder()}
		if it.blob != nil && it.blob.hashed {
			f.SHA256 = hex.EncodeToString(it.blob.sha256[:])
			f.Sent = hex.EncodeToString(it.blob.sent)
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files
}

// Content is the bytes of a file by its path; false when there is none or they were not kept.
func (s *Server) Content(login, path string) ([]byte, bool) {
	d := s.driveOf(s.account(login))
	if d == nil {
		return nil, false
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	it := d.root.descend(segments(path))
	if it == nil || it.blob == nil {
		return nil, false
	}
	return it.blob.bytes()
}

// Uploads is how many upload sessions of an account's drive are open: their bytes lie there for a
// day, and on work drives they block the name (microsoft.md §4.4).
func (s *Server) Uploads(login string) int {
	d := s.driveOf(s.account(login))
	if d == nil {
		return 0
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	n := 0
	for _, u := range d.sessions {
		if s.now().Before(u.expiry()) {
			n++
		}
	}
	return n
}

// Binned is how many bytes an account's recycle bin holds.
func (s *Server) Binned(login string) (n int64) {
	s.change(login, func(d *drive) { n = d.binned })
	return n
}

// PutFile puts a file into an account's drive, folders above it included, as somebody else with
// access would.
func (s *Server) PutFile(login, path string, content []byte) {
	s.change(login, func(d *drive) {
		names := segments(path)
		if len(names) == 0 {
			return
		}
		last := len(names) - 1
		_, _, _ = d.store(d.folderAt(names[:last], s.now()), names[last], conflictReplace, blobOf(content), "", s.now())
	})
}

// PutFolder makes a folder and those above it.
func (s *Server) PutFolder(login, path string) {
	s.change(login, func(d *drive) { d.folderAt(segments(path), s.now()) })
}

// Remove deletes a file or folder by its path, as its owner would on another device.
func (s *Server) Remove(login, path string) {
	s.change(login, func(d *drive) {
		if it := d.root.descend(segments(path)); it != nil && it.parent != nil {
			d.bury(it, s.now())
		}
	})
}

// Rename gives a file or folder another name, as its owner would on another device.
func (s *Server) Rename(login, path, name string) {
	s.change(login, func(d *drive) {
		if it := d.root.descend(segments(path)); it != nil && it.parent != nil {
			d.move(it, it.parent, name, s.now())
			d.touch(it, s.now())
		}
	})
}

// change runs do on an account's drive under its lock.
func (s *Server) change(login string, do func(*drive)) {
	d := s.driveOf(s.account(login))
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	do(d)
}
