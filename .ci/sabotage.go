// Sabotage takes each control against attacks away, one at a time, and wants the tests that are
// named for it to fail: a test of a control proves something only if it notices that it is gone.
// Nothing in the tree is changed; go build reads the changed file from elsewhere.
//
//	.ci/sabotage              all of them
//	.ci/sabotage opener code  those whose words contain one of these
//	.ci/sabotage -there       runs nothing, and looks whether each line is still there
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// control is a line of ours that stands against an attack.
type control struct {
	attack string // that it stands against
	file   string
	line   string // its words in the file
	gone   string // what stands there without it
	pkg    string
	test   string // notices it
}

const (
	browsers = "./handlers/e2e"
	pages    = "./handlers"
	signIn   = "./auth"
	moving   = "./onedrive/transfer"
	program  = "."
	graph    = "./onedrive"
	saving   = "./onedrive/transfer"
)

var controls = []control{
	// Of the handoff of a panel's sign-in.
	{"a code that somebody else read", "auth/code.go", ` || !fits(record.Challenge, verifier)`, ``, pages, `TestAttacksOnTheHandoff`},
	{"a code redeemed twice or a hundred times at once", "auth/code.go", `	err = c.bucket.delete(ctx, key, revision)
`, `	_ = revision
`, pages, `TestAttacksOnTheHandoff`},
	{"a code redeemed a hundred times at once, deleted whoever was first", "auth/code.go", `c.bucket.delete(ctx, key, revision)`, `c.bucket.delete(ctx, key, 0*revision)`, signIn, `TestOneOfHundredRedemptionsWins`},
	{"a code redeemed after 61 seconds", "auth/code.go", ` || !record.Expires.After(c.now())`, ``, pages, `TestAttacksOnTheHandoff`},
	{"a panel's code spent as an extension's", "auth/code.go", `record.Purpose != c.purpose || `, ``, pages, `TestAttacksOnTheHandoff`},
	{"a challenge that is none", "handlers/handoff.go", `if !auth.ValidChallenge(s) {`, `if s == "" {`, pages, `TestAttacksOnTheHandoff`},
	{"a page of the handoff that is loaded again", "handlers/handoff.go", `	delete(session.Values, handoffValue)
`, ``, pages, `TestAttacksOnTheHandoff`},
	{"a victim who is signed in at Microsoft and asked nothing", "handlers/handoff.go", `Purpose: forPanel, Challenge: challenge, Prompt: "select_account"`, `Purpose: forPanel, Challenge: challenge`, pages, `TestAPanelSignsInByTwoWindows`},
	{"a code in an address", "handlers/handoff.go", `	return done, h.o.Sessions.Save`, `	return done + "?code=" + code, h.o.Sessions.Save`, pages, `TestAttacksOnTheHandoff`},
	{"a stranger who asks for a code", "handlers/handoff.go", `path: "/auth/panel", serve: h.relayAgain`, `path: "/auth/panel", access: public, serve: h.relayAgain`, pages, `TestAttacksOnTheHandoff`},
	{"an evil opener, by the last page", "static/js/handoff.js", `postMessage(message, location.origin)`, `postMessage(message, '*')`, browsers, `TestAnEvilOpenerGetsNoCode`},
	{"an evil opener, by the waiting window", "static/js/relay.js", `code: e.data.code }, location.origin)`, `code: e.data.code }, '*')`, browsers, `TestAnEvilOpenerGetsNoCode`},
	{"another panel's code in the waiting window", "static/js/relay.js", `e.data?.challenge !== challenge || `, ``, browsers, `TestThePanelTakesACodeFromItsOwnWindowOnly`},
	{"a code from a page that the panel's window went to", "static/js/panel.js", `e.origin !== location.origin || `, ``, browsers, `TestThePanelTakesACodeFromItsOwnWindowOnly`},
	{"a code from another window of ours", "static/js/panel.js", ` || popup && e.source !== popup`, ``, browsers, `TestThePanelTakesACodeFromItsOwnWindowOnly`},
	{"a code of another panel's sign-in", "static/js/panel.js", ` && e.data.challenge === challenge`, ``, browsers, `TestThePanelTakesACodeFromItsOwnWindowOnly`},
	{"a code for everybody in Office", "static/js/handoff.js", `, { targetOrigin: location.origin }`, `, { targetOrigin: '*' }`, browsers, `TestOfficePaneTakesWhatIsSelected/a_picture_in_Word`},
	{"a code of another sign-in in Office", "static/js/office.js", `if (message.challenge !== challenge) return;`, ``, browsers, `TestOfficeDialogIsBelievedForItsOwnSignInOnly`},
	{"a message of another page in Office", "static/js/office.js", `if (e.origin && e.origin !== location.origin) return;`, ``, browsers, `TestOfficeDialogIsBelievedForItsOwnSignInOnly`},
	{"a tie to the panel that our own pages cut", "handlers/embed.go", `header.Del("Cross-Origin-Opener-Policy")`, ``, pages, `TestAPanelSignsInByTwoWindows`},

	// Of the sign-in itself.
	{"an answer of Microsoft used twice", "auth/pending.go", `	if errors.Is(err, errConflict) {
		return Pending{}, &SignInError{Kind: Replayed}
	}
`, `	if errors.Is(err, errConflict) {
		err = nil
	}
`, signIn, `TestPendingComesBackOnce|TestOneOfHundredCallbacksWins`},
	{"an answer of Microsoft used twice, whose mark is not stored", "auth/pending.go", `_, err = p.bucket.create(r.Context(), hashed(state), []byte{recordVersion}, pendingCookieLife)`, `err = nil`, signIn, `TestPendingComesBackOnce|TestOneOfHundredCallbacksWins`},
	{"an answer after the ten minutes", "auth/pending.go", `if !pending.Expires.After(p.options.Now()) {`, `if false {`, signIn, `TestLoginCSRF`},
	{"a cookie planted under another's name", "auth/pending.go", `pendingPurpose, hashed(state), `, `pendingPurpose, hashed(state)[:0], `, signIn, `TestLoginCSRF`},
	{"a sign-in that began in another browser", "auth/pending.go", `		return Pending{}, p.withoutCookie(r.Context(), state)
`, `		return Pending{}, nil
`, signIn, `TestLoginCSRF`},

	{"a request that says where the demo's keys are", "main.go", `URL: a.URL, Prefix: "/demo"`, `Prefix: "/demo"`, ".", `TestTheDemosAddressesAreItsOwn`},
	{"a session of another registration", "auth/session.go", ` || !s.realm.has(record.Realm)`, ``, program, `TestSessionsAndKeysEndWithTheRegistration`},
	{"a key of another registration", "auth/device.go", ` || !d.realm.has(record.Realm)`, ``, program, `TestSessionsAndKeysEndWithTheRegistration`},
	{"a session of the demo that tells nothing", "auth/realm.go", `return realm{now, string(before)}, err`, `return realm{now, string(before)[:0] + now}, err`, signIn, `TestEachRealmLetsInItsOwn`},
	// Of cookies.
	{"an extension that sends our cookies", "handlers/session.go", `fromExtension(req) || `, ``, pages, `TestCookiesCountForOurOwnPagesOnly`},
	{"an extension that sends our cookies and no origin", "handlers/session.go", ` || site == "none" && !visit`, ` || site == "none" && !visit && false`, pages, `TestCookiesCountForOurOwnPagesOnly`},
	{"another site's script that sends our cookies to the API", "handlers/session.go", `(site == "" || site == "none" || site == "same-origin") && `, ``, pages, `TestCookiesCountForOurOwnPagesOnly`},
	{"another site's script in a browser that tells its origin only", "handlers/session.go", ` && h.ownOrigin(req)`, ``, pages, `TestCookiesCountForOurOwnPagesOnly`},

	{"a nonce of another sign-in", "auth/verify.go", `if nonce == "" || subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1 {`, `if subtle.ConstantTimeCompare(nil, nil) != 1 {`, signIn, `TestForgedIDTokensAreRefused|TestMutatedClaims`},
	{"another issuer", "auth/verify.go", `c.Issuer != issuerOf(p.config.LoginURL, c.TenantID)`, `c.Issuer == ""`, signIn, `TestForgedIDTokensAreRefused|TestMutatedClaims`},
	{"a token for another app as well", "auth/verify.go", `len(token.Audience) != 1 || `, ``, signIn, `TestForgedIDTokensAreRefused|TestMutatedClaims`},
	{"a return to another site", "auth/localpath.go", `	if len(s) > maxLocalPath`, `	if true {
		return s
	}
	if len(s) > maxLocalPath`, signIn, `TestLocalPathCorpus`},
	{"a return to another site, by the pages", "auth/localpath.go", `	if len(s) > maxLocalPath`, `	if true {
		return s
	}
	if len(s) > maxLocalPath`, pages, `TestReturnAfterSignInStaysHere`},
	{"tokens that are moved to another user", "auth/keyring.go", `return append(data, binding...)`, `return append(data, binding[:0]...)`, signIn, `TestStoredTokensOpenForNoOtherUser`},

	// Of sources, and of Microsoft's answers.
	{"a source that leads inside", "onedrive/transfer/guard.go", `if g.guardian.Safe(network, address, c) != nil {`, `if false {`, saving, `TestInsideIsNeverDialledByName|TestRebinding`},
	{"an address inside that a failed transfer is changed to", "handlers/again.go", `r.SourceURL, r.SameSource = *ch.SourceURL, false`, `r.SourceURL, r.SameSource = *ch.SourceURL, true`, pages, `TestAChangeThatCannotBeChangesNothing`},
	{"a panel that replaces a file by trying again", "handlers/again.go", `atTop(c, r.ConflictBehavior)`, `atTop(c, "")`, pages, `TestAPanelChangesNothingIntoAReplacement`},
	{"a source that names the inside", "onedrive/transfer/guard.go", `if g.guardian.SafeAddr(addr) != nil {`, `if g.guardian.SafeAddr(addr) != nil && false {`, saving, `TestInsideIsNeverDialledLiterally`},
	{"a redirect that leads inside", "onedrive/transfer/source.go", ` || s.guard.check(u) != nil {`, ` {`, saving, `TestInsideIsNeverReachedByRedirect`},
	{"asking which names lead inside", "onedrive/transfer/source.go", `	return !ok || dns.IsNotFound && !dns.IsTemporary`, `	return ok && dns.IsNotFound && !dns.IsTemporary`, saving, `TestInsideIsNeverDialledByName`},
	{"asking for the addresses beside the server", "onedrive/transfer/source.go", `	return !ok || dns.IsNotFound && !dns.IsTemporary`, `	return (!ok || dns.IsNotFound && !dns.IsTemporary) && !errors.Is(err, errNotPublic)`, saving, `TestNeighboursAreNotOutside`},
	{"a redirect that leaves TLS", "onedrive/transfer/source.go", `via[len(via)-1].URL.Scheme == "https" && u.Scheme != "https" || `, ``, saving, `TestARedirectNeverLeavesTLS`},
	{"a Referer that tells a signed address", "onedrive/transfer/source.go", `	req.Header.Del("Referer")
`, ``, saving, `TestReferer`},
	{"a stored upload address elsewhere", "onedrive/bare.go", ` || g.hosts.check(u) != nil`, ``, graph, `TestSecretURLsMayPointToMicrosoftOnly|TestALyingGraphGetsNobodyInside`},
	{"an upload address elsewhere", "onedrive/hosts.go", `	if err := l.check(u); err != nil {
		return "", err
	}
`, ``, graph, `TestSecretURLsMayPointToMicrosoftOnly|TestALyingGraphGetsNobodyInside`},
	{"a known name that leads inside", "onedrive/hosts.go", `if guardian.Safe(network, address, c) != nil {`, `if guardian == nil {`, graph, `TestAKnownNameThatLeadsInsideIsNotDialled`},
	{"an id that is a path", "onedrive/client.go", `id != "" && !validID(id)`, `id == "" && !validID(id)`, graph, `TestNoIDAndNoNameReachesAnotherPartOfGraph`},

	// Of what a client says about itself.
	{"an address that anybody claims", "handlers/limits.go", `return echo.ExtractIPDirect()`, `return echo.ExtractIPFromXFFHeader()`, pages, `TestForgedForwardingChangesNothing`},
	{"an address that a client behind the proxy claims", "handlers/limits.go", `echo.TrustPrivateNet(false)`, `echo.TrustPrivateNet(true)`, pages, `TestForgedForwardingChangesNothing`},
	{"a code that a client gives its request", "handlers/handlers.go", `	nameRequest(w)
`, `	if nameRequest(w); r.Header.Get("X-Request-Id") != "" {
		w.Header().Set("X-Request-Id", r.Header.Get("X-Request-Id"))
	}
`, pages, `TestAClientNamesNoRequest`},
	{"a connection that falls back to http", "handlers/security.go", `header.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")`, ``, pages, `TestHTTPSIsKept`},
	{"a page's message to the extension", "static/extension/browser.js", `sender.id === api().runtime.id && `, ``, browsers, `TestExtensionHearsNoPage`},

	// Of leaving.
	{"a change that comes while all is deleted", "handlers/routes.go", `h.undoLate(r, next)`, `next`, pages, `TestDeletingMyDataLeavesNothingBehind`},
	{"a key's code from before all was ended", "auth/device.go", `d.codes.forget(ctx, userID)`, `error(nil)`, pages, `TestACodeFromBeforeOpensNothing`},
	{"a panel's code from before all was ended", "handlers/settings.go", `, h.o.Handoffs.Forget(ctx, who),`, `,`, pages, `TestACodeFromBeforeOpensNothing`},

	// Of hurry.
	{"guesses at keys and sessions", "handlers/limits.go", `		h.limits.allow(strangers, askedFrom(c), now)
`, ``, pages, `TestStrangersAreLimited`},
	{"guesses at paths", "handlers/handlers.go", `, h.limitUnknown)`, `)`, pages, `TestStrangersAreLimited`},
	{"a neighbour's guesses that shut somebody out", "handlers/limits.go", `counts && !h.limits.known(shown, now)`, `counts`, pages, `TestStrangersAreLimited`},
	{"a share for each of a hundred keys", "handlers/limits.go", `b = userWide`, `b = unlimited`, pages, `TestManyKeysAreOnePerson`},
	{"memory for each address that asks", "handlers/limits.go", `		l.makeRoom(now)
`, ``, pages, `TestSoManyKeysAreRememberedAndNoMore`},
	{"a share for each address of one subscriber", "handlers/limits.go", `Prefix(64)`, `Prefix(128)`, pages, `TestAddressesOfOneSubscriberAreOne`},

	{"a client that takes nothing", "handlers/hangup.go", `_ = s.control.SetWriteDeadline(time.Now().Add(s.limit))`, ``, pages, `TestAClientThatTakesNothingIsHungUpOn`},
	{"a client that takes nothing from the program", "main.go", `handlers.HangUp(h, answerTime)`, `h`, program, `TestNoClientHoldsAConnection`},
	{"a header that drips", "main.go", `ReadHeaderTimeout: 10 * time.Second, IdleTimeout`, `IdleTimeout`, program, `TestNoClientHoldsAConnection`},

	// Of frames.
	{"a site that frames what it may not", "handlers/security.go", `"frame-ancestors " + ancestors,`, ``, pages, `TestOnlyThePanelMayBeFramed`},
	{"a site off the list that frames the panel", "handlers/embed.go", `rules.ancestors = strings.Join(ancestors, " ")`, `rules.ancestors = "*"`, browsers, `TestNobodyElseFramesAnything`},
	{"an old browser that knows no frame-ancestors", "handlers/security.go", `header.Set("X-Frame-Options", "DENY")`, ``, pages, `TestOnlyThePanelMayBeFramed`},
	{"a title that a spreadsheet runs", "handlers/csv.go", `row[i] = harmless(row[i])`, `_ = harmless(row[i])`, pages, `TestTheHistoryIsATable`},
	{"a history that a panel's session takes along", "handlers/transfers.go", `serve: h.historyCSV, bucket: exports`, `serve: h.historyCSV, bucket: exports, panel: true`, pages, `TestAnExportIsItsOwnersAndInNoFrame`},
	{"a history that is downloaded in a frame", "handlers/csv.go", `	if framed(c) {`, `	if false {`, pages, `TestAnExportIsItsOwnersAndInNoFrame`},
	{"whole histories by the hundred", "handlers/limits.go", `, exports: {0.5, 20}}`, `}`, pages, `TestExportsAreCounted`},
	{"half a history that looks whole", "handlers/observe.go", `			panic(http.ErrAbortHandler)
`, ``, pages, `TestAnExportThatBreaksOff`},
	{"a panel's session that undoes", "handlers/transfers.go", `serve: h.rowAction(h.undo)}`, `serve: h.rowAction(h.undo), panel: true}`, pages, `TestAPanelDestroysNothing`},
	{"a panel's session that removes", "handlers/transfers.go", `serve: h.removeRow}`, `serve: h.removeRow, panel: true}`, pages, `TestAPanelDestroysNothing`},
	{"a panel's session that replaces files", "handlers/panel.go", `return inPanel(c) || inFrame(c)`, `return inFrame(c)`, pages, `TestAPanelDestroysNothing`},
	{"a frame of the same site that undoes with the main cookie", "handlers/routes.go", `notFramed(r, next)`, `next`, pages, `TestAPanelDestroysNothing`},
	{"a frame of the same site that replaces files with the main cookie", "handlers/panel.go", `return inPanel(c) || inFrame(c)`, `return inPanel(c)`, pages, `TestAPanelDestroysNothing`},
	{"a panel in an old browser that undoes with the main cookie", "handlers/panel.go", `form && r.Header`, `false && form && r.Header`, pages, `TestAPanelDestroysNothing`},
	{"a page that fills the panel that it frames", "handlers/panel.go", ` && h.mayFill(c.Request())`, ``, pages, `TestWhoFramesThePanelDoesNotFillIt`},
	{"a panel's cookie on the main pages", "handlers/session.go", `if ok || err != nil || !r.panel {`, `if ok || err != nil {`, pages, `TestAPanelDestroysNothing`},
	{"a panel's bearer on the main pages", "handlers/session.go", `case r.panel && auth.IsPanelBearer(key):`, `case auth.IsPanelBearer(key):`, pages, `TestAPanelDestroysNothing|TestAPanelWithoutCookiesUsesABearer`},
	{"a bearer renewed twice", "auth/bearer.go", `	err = s.bucket.delete(ctx, "s."+hashed(bearer), revision)
`, `	_ = revision
`, pages, `TestAPanelWithoutCookiesUsesABearer`},
	{"a page that is not right around the panel talks with it", "static/js/panel-host.js", `e.source !== window.parent || `, ``, browsers, `TestThePanelListensToItsHostOnly`},
	{"a page that may frame the panel but not talk with it", "static/js/panel-host.js", ` || !hosts.includes(e.origin)`, ``, browsers, `TestThePanelListensToItsHostOnly`},
	{"another site's form", "handlers/security.go", `		protected.ServeHTTP(w, r)
`, `		_ = protected
		next.ServeHTTP(w, r)
`, pages, `TestPagesOfOtherSitesCannotAct|TestAttacksOnTheHandoff|TestNobodyElseShares`},
	{"another user's event", "handlers/events.go", `if e.Transfer.Owner != who {`, `if false {`, pages, `TestAnEventOfAnotherUserIsNotDrawn`},
	{"an account's page that acts for the next account", "handlers/session.go", `who != "" && who != whose(owner(c))`, `false && who != whose(owner(c))`, pages, `TestAPageOfAnotherAccountActsForNobody`},
	{"an account's page that hands a file over to the next account", "static/js/save.js", `, 'Skylift-Account': form.who.value`, ``, browsers, `TestAFileIsHandedOverForThePagesAccountOnly`},
	{"an account's page that follows the next account", "handlers/events.go", `who != "" && who != whose(owner(c))`, `false && who != whose(owner(c))`, pages, `TestAPageFollowsItsOwnAccountOnly`},
	{"tabs of two accounts that share a channel", "static/js/live.js", `'skylift ' + rows.dataset.live)`, `'skylift')`, browsers, `TestTwoAccountsInOneBrowserSeeTheirOwn`},
	{"a stream that outlives its key", "handlers/settings.go", `h.streams.endHolder(owner(c), holderOf(c.Param("id")), endSignedOut)`, ``, pages, `TestStreamsEndWithWhatOpenedThem`},
	{"a stream that outlives its session", "handlers/signin.go", `	h.endStreams(c, endSignedOut)
`, ``, pages, `TestStreamsEndWithWhatOpenedThem`},
	{"a stream that outlives its session on another instance", "handlers/events.go", ` && !h.stillIn(ctx, c) {`, ` && false {`, pages, `TestAStreamElsewhereEndsWithTheSession`},
	{"a share of streams for each junk cookie", "handlers/session.go", `"session " + h.o.Sessions.Mark(req)`, `"session " + req.Header.Get("Cookie")`, pages, `TestTheOldestOfTooManyStreamsEnds`},

	// Of the save button.
	{"a click that was meant for another window", "static/js/button.js", `  save.disabled = true;
  setTimeout`, `  setTimeout`, browsers, `TestSaveButtonAgainstEvilPages`},
	{"a page that opens the button's window as another", "static/js/button.js", `detail: { url, ...detail } }, origin)`, `detail: { url, ...detail } }, '*')`, browsers, `TestSaveButtonAgainstEvilPages`},
	{"a page that is named as another", "static/js/button.js", `new URL(e.origin).host`, `new URL(origin).host`, browsers, `TestSaveButtonAgainstEvilPages`},
	{"a window that says it is the button's", "static/embed.js", `e.origin !== server || `, ``, browsers, `TestSaveButtonAgainstEvilPages`},
	{"another window of ours that says it is the button's", "static/embed.js", ` || e.source !== popup`, ``, browsers, `TestSaveButtonAgainstEvilPages`},

	// Of keys.
	{"a key that is dropped and takes history with it", "auth/tokens.go", `more, err := others(ctx)`, `more, err := 3, error(nil)`, signIn, `TestWrongKeysAreAnErrorAtTheStart`},
	{"a record that an older key goes on sealing", "onedrive/transfer/tend.go", `s.stale(m) || heavy(m)`, `heavy(m)`, moving, `TestAKeyCanBeDroppedOnceAllIsTended`},
	{"failed transfers that keep their bytes", "onedrive/transfer/tend.go", `age > keepFailed`, `false`, moving, `TestAFailedTransferKeepsItsBytesForADay`},

	// Of sources.
	{"a source on a machine beside the server", "onedrive/transfer/guard.go", `g.near.have(to.Addr(), time.Now())`, `!to.IsValid()`, moving, `TestNeighboursAreNotOutside`},
	{"a source in the same IPv6 network", "onedrive/transfer/guard.go", `p.Addr().Is6() && p.Bits() > 64`, `false`, moving, `TestNeighboursAreNotOutside`},

	// Of one person who takes what is everybody's.
	{"a person whose transfers never end", "onedrive/transfer/share.go", `l.transfers < 0 || `, ``, moving, `TestOnePersonHasAShareOfTransfers`},
	{"a person who fills the store", "onedrive/transfer/share.go", ` || l.bytes < 0`, ``, moving, `TestOnePersonHasAShareOfTheStore`},
	{"a failed transfer that is tried again beyond a person's share", "onedrive/transfer/control.go", `left.transfers <= 0`, `left == (share{})`, moving, `TestOnePersonHasAShareOfTransfers`},
	{"bytes in records that nobody needs", "onedrive/transfer/store.go", `		t.spend()
`, ``, moving, `TestOnePersonHasAShareOfTheStore`},
	{"data that leaves no room for sign-ins", "onedrive/transfer/natsd/natsd.go", `used > uint64(n.opt.MaxStore/10*9)`, `used > uint64(n.opt.MaxStore)`, moving + "/natsd", `TestSpaceIsShortBeforeNATSRefuses`},
	{"a body that drips", "handlers/content.go", `drips := err == nil`, `drips := false`, pages, `TestABodyThatDripsIsEnded`},
	{"a person who keeps many bodies open", "onedrive/transfer/receive.go", `s.bodies.enter(ctx, owner)`, `s.bodies.enter(ctx, owner+time.Now().String())`, pages, `TestOnePersonsFilesComeInAFewAtATime`},
	{"a person who fills the spool", "onedrive/transfer/spool.go", `s.of[owner]+n > most-s.total-n`, `s.total+n > most`, pages, `TestOnePersonsSharesLeaveRoomForOthers`},
	{"files on their way that fill the disk", "onedrive/transfer/spool.go", `w.s.opt.Space != nil && w.s.opt.Space() != nil || `, ``, moving, `TestNothingIsSpooledWithoutSpace`},
	{"accounts whose sources drip and keep all places", "onedrive/transfer/turn.go", `n.cancel(errTurn)`, `_ = errTurn`, moving, `TestSlowRelaysTakeTurns`},
	{"small pictures that wait in memory by the thousand", "onedrive/transfer/queue.go", `if n.t != nil && len(n.t.Work.Inline) > 0`, `if false`, moving, `TestWhatWaitsHoldsNoBytes`},
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "-there" {
		lookAll()
		return
	}
	failed := 0
	for _, c := range controls {
		if !wanted(c.attack) {
			continue
		}
		began := time.Now()
		verdict := c.try()
		if verdict != "noticed" {
			failed++
		}
		fmt.Printf("%-8s %4.0fs  %s (%s)\n", verdict, time.Since(began).Seconds(), c.attack, c.test)
	}
	if failed > 0 {
		fmt.Printf("%d controls are gone and no test says so\n", failed)
		os.Exit(1)
	}
}

// lookAll fails when a control's line is not where it is looked for: somebody moved it.
func lookAll() {
	for _, c := range controls {
		source, err := os.ReadFile(c.file)
		check(err)
		if !strings.Contains(string(source), c.line) {
			check(fmt.Errorf("%s: the control against %s is not there: mend .ci/sabotage.go", c.file, c.attack))
		}
	}
}

func wanted(attack string) bool {
	for _, word := range os.Args[1:] {
		if strings.Contains(attack, word) {
			return true
		}
	}
	return len(os.Args) == 1
}

// try runs the test without the control.
func (c control) try() string {
	dir, err := os.MkdirTemp("", "sabotage-")
	check(err)
	defer os.RemoveAll(dir)
	source, err := os.ReadFile(c.file)
	check(err)
	if !strings.Contains(string(source), c.line) {
		return "its line is not there"
	}
	changed, overlay := filepath.Join(dir, filepath.Base(c.file)), filepath.Join(dir, "overlay.json")
	check(os.WriteFile(changed, []byte(strings.ReplaceAll(string(source), c.line, c.gone)), 0o600))
	at, err := filepath.Abs(c.file)
	check(err)
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{at: changed}})
	check(err)
	check(os.WriteFile(overlay, list, 0o600))

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	test := exec.CommandContext(ctx, "go", "test", "-count=1", "-short", "-vet=off", "-run", pattern(c.test), c.pkg)
	test.Env = append(os.Environ(), "GOFLAGS=-overlay="+overlay, "E2E_PATIENCE=12s", "E2E_BINARY=")
	out, err := test.CombinedOutput()
	switch text := string(out); {
	case strings.Contains(text, "[build failed]") || strings.Contains(text, "build skylift:"):
		return "does not build:\n" + text
	case strings.Contains(text, "no tests to run"):
		return "no such test"
	case err == nil:
		return "MISSED"
	case !strings.Contains(text, "--- FAIL"):
		return "ended oddly:\n" + text
	}
	return "noticed"
}

// pattern is the tests' names as go test wants them: "A|B", or "A/part of it".
func pattern(test string) string {
	if name, part, ok := strings.Cut(test, "/"); ok {
		return "^" + name + "$/^" + part + "$"
	}
	return "^(" + test + ")$"
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
