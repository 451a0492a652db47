package views

import "fmt"

// ConnectForm is the question whether a browser may save for the person.
type ConnectForm struct {
	Name      string // what the list of devices will call it
	Redirect  string
	State     string
	Challenge string
	Refuse    string // where "No" leads
}

// ExtensionInfo is the install page of the browser extension.
type ExtensionInfo struct {
	Server      string // this server's address, which the download has built in; "" if unknown
	Permissions []Permission
}

// Permission is one line of the extension's manifest with its reason.
type Permission struct {
	Name string
	Asks bool // the browser asks for it when it is needed, not at the installation
	Why  string
}

// PermissionReason explains a permission of the extension. One that nobody explained is an error.
func PermissionReason(name string) (Permission, error) {
	for _, p := range permissionReasons {
		if p.Name == name {
			return p, nil
		}
	}
	return Permission{}, fmt.Errorf("views: no reason is given for the extension's permission %q", name)
}

var permissionReasons = []Permission{
	{Name: "contextMenus", Why: "Puts “Save to OneDrive” into the menu of the right mouse button."},
	{Name: "storage", Why: "Keeps this server's address, the key of this browser and what is not sent yet. Nothing of it is synchronised."},
	{Name: "notifications", Why: "Tells you that something was saved, or why not."},
	{Name: "identity", Why: "Opens the window in which you connect the browser, and closes it again."},
	{Name: "activeTab", Why: "Lets the extension look at a page at the moment you click in its menu or on its button, and at no other page or time."},
	{Name: "scripting", Why: "With the click: reads the description of the picture, the list of the page's pictures, and pictures that exist inside the page only."},
	{Name: "alarms", Why: "Wakes the extension to send what could not be sent before."},
	{Name: "sidePanel", Why: "Shows Skylift in the browser's side panel."},
	{Name: "https://*/*", Asks: true, Why: "Asked for one site at a time: for your own Skylift server when you connect, and for a site that only your browser can see when you save from there."},
	{Name: "http://*/*", Asks: true, Why: "The same for sites without encryption. A Skylift server must have https, unless it runs on this computer."},
}

func curlExample(server string) string {
	if server == "" {
		server = "https://skylift.example.org"
	}
	return "curl -sS " + server + "/api/v1/transfers \\\n" +
		"  -H \"Authorization: Bearer $SKYLIFT_KEY\" \\\n" +
		"  -H 'Content-Type: application/json' \\\n" +
		"  -d '{\"sourceUrl\": \"https://images.example/cats/tabby.jpg\"}'"
}
