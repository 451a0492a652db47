// Package e2e drives real browsers against the real program: it builds skylift once, starts it
// with a chosen environment on a free port, and does what a person would do. All of it is test
// code; the package holds nothing for others to import.
//
// A test reads like this:
//
//	func TestSomething(t *testing.T) {
//		app := start(t)                     // the demo, keeping nothing
//		p := open(t, app.URL+"/", dark())   // a browser profile of its own
//		p.Click("sign-in")                  // elements are found by data-testid
//		p.WaitText("account", "Robin")
//		p.Axe()
//		p.Shot("signed-in")                 // a picture for people, see below
//	}
//
// A page fails its test when its console showed an error, when it threw, or when its
// Content-Security-Policy was violated; Page.Allow names what is expected.
//
// E2E_SHOTS names a folder that screenshots are written to; without it none are taken.
// E2E_BINARY names a ready-built program to test instead of building one.
package e2e
