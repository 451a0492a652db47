package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The first layout had other keys, with the id cut into seven tokens, and a transfer changed its key
// when it ended:
//
//	a.<pp>.<owner>.<id>                  a transfer that is not final
//	h.<pp>.<owner>.<state>.<id>.<what>   a final one
const (
	oldActive   = "a"
	oldHistory  = "h"
	oldIDTokens = 7
)

// moveOld brings the records of the first layout under their present keys, at the first start after
// an update. A start that breaks off goes on at the next one: what was moved is not moved again.
// On a cluster the stream may not answer yet: it gets the time of an election.
func (s *Store) moveOld(ctx context.Context, js jetstream.JetStream) error {
	for end := time.Now().Add(joinTime); ; {
		err := s.tryMoveOld(ctx, js)
		if !errors.Is(err, ErrUnavailable) || s.alone() || time.Now().After(end) {
			return err
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func (s *Store) tryMoveOld(ctx context.Context, js jetstream.JetStream) error {
	for _, kind := range []string{oldActive, oldHistory} {
		var moved []record
		err := scan(ctx, s.nc, kind+".>", 1, func(m stored) {
			if r, ok := s.renamed(m); ok && !m.deleted {
				moved = append(moved, r)
			}
		})
		if err != nil {
			return err
		}
		if err := s.putNew(ctx, moved); err != nil {
			return err
		}
		st, err := js.Stream(ctx, stream)
		if err == nil {
			err = st.Purge(ctx, jetstream.WithPurgeSubject(subjectPrefix+kind+".>"))
		}
		if err != nil {
			return fmt.Errorf("move old transfers: %w", err)
		}
	}
	return nil
}

// putNew stores records that are not there yet; they share syncs.
func (s *Store) putNew(ctx context.Context, records []record) error {
	var all sync.WaitGroup
	errs := make([]error, len(records))
	for i, r := range records {
		all.Go(func() {
			if _, err := s.commit.put(ctx, r); !errors.Is(err, ErrConflict) {
				errs[i] = err
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// renamed is an old message as it is stored now. Its value stays: the key tells all that the new
// header says.
func (s *Store) renamed(m stored) (record, bool) {
	tokens := strings.Split(m.key, ".")
	r := record{value: m.data}
	from := 3
	if tokens[0] == oldHistory && len(tokens) == from+1+oldIDTokens+1 {
		r.ending = ending(tokens[from] + tokens[len(tokens)-1])
		age := time.Duration(0)
		if at, err := time.Parse(time.RFC3339Nano, m.at); err == nil {
			age = s.opt.Now().Sub(at)
		}
		r.ttl = max(s.opt.Retention-age, time.Minute).Round(time.Second)
		from++
	} else if tokens[0] != oldActive || len(tokens) != from+oldIDTokens {
		return record{}, false
	}
	r.key = transferKey(tokens[2], strings.Join(tokens[from:from+oldIDTokens], ""))
	return r, true
}
