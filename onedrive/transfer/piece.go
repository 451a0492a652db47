package transfer

import (
	"context"
	"errors"
	"hash"
	"io"
	"sync"
	"time"

	"skylift/onedrive"
)

// leadTime is what the first block of a piece may take for OneDrive to be sent the piece while it still
// arrives: a megabyte a second. A slower source is gathered first, so that no request hangs on it.
const leadTime = 300 * time.Millisecond

// blocks are the memory of pieces, each of onedrive.FragmentUnit bytes.
type blocks struct {
	mu   sync.Mutex
	free [][]byte
	used int64 // bytes reserved by all pieces
}

// twoPieces is the share of memory from which a transfer has two pieces, and fetches the one while
// OneDrive takes in the other. Below it other transfers fill the pauses.
const twoPieces = 4 << 20

// reserve gives the size of the next piece of a file with left bytes to go: a fair share of what all
// pieces may hold together, and one block even when nothing is left. Ahead says whether the piece
// after it may begin to arrive before this one is gone; together they are no more than one fragment.
func (s *Saver) reserve(left int64) (n int64, ahead bool) {
	b := &s.blocks
	b.mu.Lock()
	defer b.mu.Unlock()
	share := min(s.opt.Buffers/max(1, s.streams.Load()), onedrive.DefaultFragment)
	if ahead = share >= twoPieces; ahead {
		share /= 2
	}
	n = min(share, s.opt.Buffers-b.used)
	n = min(max(n/onedrive.FragmentUnit, 1)*onedrive.FragmentUnit, left)
	b.used += n
	return n, ahead
}

func (b *blocks) get() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		block := b.free[n-1]
		b.free = b.free[:n-1]
		return block
	}
	return make([]byte, onedrive.FragmentUnit)
}

// put takes back the blocks of a piece that had reserved so much. They stay for the next pieces, which a
// sync.Pool would let go of at a collection; with the last piece all go.
func (b *blocks) put(blocks [][]byte, reserved int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, blocks...)
	if b.used -= reserved; b.used == 0 {
		b.free = nil
	}
}

// piece is a fragment that is sent while it arrives, so that what a crash costs is one fragment and
// what a transfer holds is one, too. Its bytes stay until OneDrive has them: nothing is fetched
// twice because of OneDrive.
type piece struct {
	from     *blocks
	offset   int64 // in the file
	size     int64
	reserved int64
	ahead    bool // the next one may begin to arrive

	mu     sync.Mutex
	moved  sync.Cond // have or err has changed
	blocks [][]byte
	have   int64
	err    error // of the source: no more comes
	began  time.Time
	quick  bool // the first block came fast
	filled chan struct{}
}

// newPiece begins to read a piece from body, once the piece before it (nil: none) has arrived. The
// caller ends it with free.
func (s *Saver) newPiece(body io.Reader, offset, left int64, before *piece) *piece {
	p := &piece{from: &s.blocks, offset: offset, filled: make(chan struct{})}
	p.reserved, p.ahead = s.reserve(left)
	if p.size = p.reserved; p.size < left {
		p.size -= (offset + p.size) % onedrive.FragmentUnit // of a fragment that broke off OneDrive may have kept a part
	}
	p.moved.L = &p.mu
	go func() { // ends with the piece or with body; free waits for it
		defer close(p.filled)
		if err := before.end(); err != nil {
			p.arrive(0, err)
			return
		}
		p.fill(body)
	}()
	return p
}

func (p *piece) fill(body io.Reader) {
	p.began = time.Now()
	for have := int64(0); have < p.size; {
		if have%onedrive.FragmentUnit == 0 {
			block := p.from.get()
			p.mu.Lock()
			p.blocks = append(p.blocks, block)
			p.mu.Unlock()
		}
		block := p.blocks[len(p.blocks)-1]
		at := have % onedrive.FragmentUnit
		n, err := body.Read(block[at:min(onedrive.FragmentUnit, at+p.size-have)])
		have += int64(n)
		if err = early(err); have == p.size {
			err = nil
		}
		if p.arrive(have, err); err != nil {
			return
		}
	}
}

// arrive tells the sender how much of the piece is there, and why no more comes.
func (p *piece) arrive(have int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if have >= onedrive.FragmentUnit && p.have < onedrive.FragmentUnit {
		p.quick = time.Since(p.began) < leadTime
	}
	p.have, p.err = have, err
	p.moved.Broadcast()
}

// end waits until the piece has arrived, and gives what its source failed with. A nil piece has.
func (p *piece) end() error {
	if p == nil {
		return nil
	}
	<-p.filled
	return p.broken()
}

// lead waits until there is enough to begin sending, and gives the error of a source that broke before.
func (p *piece) lead() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.have < p.size && p.err == nil && !p.quick {
		p.moved.Wait()
	}
	return p.err
}

// cut makes what has arrived the whole piece, as far as it can be sent alone, after its source broke.
func (p *piece) cut() {
	<-p.filled
	p.size = max(0, (p.offset+p.have)/onedrive.FragmentUnit*onedrive.FragmentUnit-p.offset)
}

// reader reads the piece from a byte of the file on; a Read waits for what has not arrived.
func (p *piece) reader(from int64) io.ReadSeeker { return &pieceReader{p, from - p.offset} }

type pieceReader struct {
	p  *piece
	at int64
}

func (r *pieceReader) Read(b []byte) (int, error) {
	p := r.p
	p.mu.Lock()
	for r.at >= p.have && p.err == nil && r.at < p.size {
		p.moved.Wait()
	}
	have, err := min(p.have, p.size), p.err
	var block []byte
	if r.at < have {
		block = p.blocks[r.at/onedrive.FragmentUnit]
	}
	p.mu.Unlock()
	switch {
	case block != nil:
		at := r.at % onedrive.FragmentUnit
		n := copy(b, block[at:min(onedrive.FragmentUnit, at+have-r.at)])
		r.at += int64(n)
		return n, nil
	case r.at < p.size:
		return 0, err
	}
	return 0, io.EOF
}

// Seek serves a request that is sent again; only steps from where the reader is are asked for.
func (r *pieceReader) Seek(offset int64, _ int) (int64, error) {
	r.at += offset
	return r.at, nil
}

// hashTo adds the piece, which has arrived, to h, which may be nil.
func (p *piece) hashTo(h hash.Hash) {
	for left, i := p.size, 0; h != nil && left > 0; i++ {
		n := min(left, onedrive.FragmentUnit)
		h.Write(p.blocks[i][:n])
		left -= n
	}
}

// free gives the memory back once the source has let go of it. A nil piece has none.
func (p *piece) free() {
	if p == nil {
		return
	}
	<-p.filled
	p.from.put(p.blocks, p.reserved)
}

// sendFragments moves the bytes from offset on, fragment by fragment. abort ends a read of body that waits.
func (r *saving) sendFragments(ctx context.Context, body io.Reader, offset int64, abort func()) (Next, error) {
	t := r.t
	r.s.streams.Add(1)
	defer r.s.streams.Add(-1)
	defer context.AfterFunc(ctx, abort)()
	sum := r.s.sums.take(t.ID, offset)
	var item *onedrive.DriveItem
	var err error
	for p := r.s.newPiece(body, offset, *t.Size-offset, nil); p != nil; {
		var next *piece
		if end := p.offset + p.size; p.ahead && end < *t.Size {
			next = r.s.newPiece(body, end, *t.Size-end, p)
		}
		if item, err = r.sendPiece(ctx, p, sum); err != nil {
			abort()
		}
		end := p.offset + p.size
		p.free()
		if err != nil || item != nil {
			next.free()
			break
		}
		if p = next; p == nil && end < *t.Size {
			p = r.s.newPiece(body, end, *t.Size-end, nil)
		}
	}
	if ctx.Err() != nil {
		return Next{}, ctx.Err()
	}
	if err != nil {
		return r.interrupted(ctx, err)
	}
	return r.committed(ctx, item, quickXor(sum))
}

// sendPiece sends one fragment and gives the finished item, if OneDrive named it. Of a source that
// breaks what has arrived is sent, so that it is not fetched again.
func (r *saving) sendPiece(ctx context.Context, p *piece, sum hash.Hash) (*onedrive.DriveItem, error) {
	broken := p.lead()
	var answer onedrive.FragmentAnswer
	if broken == nil {
		var err error
		if answer, err = r.putFragment(ctx, p.fragment()); err == nil {
			broken = p.end() // OneDrive may have answered before it had read all
		} else if broken = p.broken(); broken == nil {
			return nil, err
		}
	}
	if broken != nil {
		if p.cut(); p.size == 0 || ctx.Err() != nil {
			return nil, broken
		}
		var err error
		switch answer, err = r.putFragment(ctx, p.fragment()); {
		case errors.Is(err, onedrive.ErrRange), errors.Is(err, errRewind):
			return nil, broken // it is the source that is in trouble; the next step asks how far OneDrive is
		case err != nil:
			return nil, err
		}
	}
	r.arrived(p, answer, sum)
	return answer.Item, broken
}

// broken is what the source failed with, nil when it did not.
func (p *piece) broken() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *piece) fragment() fragment { return fragment{p.offset, p.size, p.reader} }

// arrived notes a fragment that OneDrive has.
func (r *saving) arrived(p *piece, answer onedrive.FragmentAnswer, sum hash.Hash) {
	t, end := r.t, p.offset+p.size
	p.hashTo(sum)
	r.s.sums.put(t.ID, sum, end)
	t.grown(end)
	if !answer.Expires.IsZero() {
		t.Work.SessionEnds = answer.Expires
	}
	if r.spooled {
		end = (*t.Size + end) / 2 // all of the first leg, and this much of the second
	}
	r.advance(end)
}

// grown notes how far the file is. Only what was never there before counts as progress.
func (t *Transfer) grown(end int64) {
	if end > t.Work.Best {
		t.Work.Best, t.Work.Errors, t.Work.Lost = end, 0, 0
	}
}
