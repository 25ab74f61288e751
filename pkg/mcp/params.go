package mcp

import "github.com/cedargate/cedargate/pkg/internal/strictjson"

// subject reads what m is about from its params, and asks the questions. It
// returns the name that Mcp-Name has to repeat, "" when the method has none,
// and the fault of params or of a limit.
func (r *reading) subject(m message) (name string, fault *Fault) {
	known, ok := methods[m.method]
	switch {
	case m.response():
		r.ask(Question{Action: actionResponses})
		return "", nil
	case m.method == "":
		return "", nil // no message
	case clientNotification(m.method):
		r.ask(Question{Action: actionNotifications})
		return "", m.paramsFault()
	case ok && known.removed && r.declaresStateless(m) && known.member() != "" &&
		m.params.Get(known.member()).Kind() == strictjson.Absent:
		ok = false // the server has its own answer to a method it does not have
	}
	if !ok {
		r.ask(Question{Action: actionUnknown})
		return "", m.paramsFault()
	}
	if fault := m.paramsFault(); fault != nil {
		return "", fault
	}
	name, fault = r.about(m, known)
	if fault == nil {
		fault = m.extras()
	}
	if m.method == "tools/call" {
		if arguments := m.params.Get("arguments"); arguments.Kind() == strictjson.Object {
			r.call.Arguments = arguments
		}
		r.call.InputResponses = m.params.Get("inputResponses").Kind() != strictjson.Absent ||
			m.params.Get("requestState").Kind() != strictjson.Absent
	}
	return name, fault
}

// paramsFault is the fault of params as such, whatever the method.
func (m message) paramsFault() *Fault {
	version := m.meta.Get(metaVersion).Kind()
	switch {
	case !absentOr(m.params, strictjson.Object):
		return invalidParams("params is no object")
	case !absentOr(m.meta, strictjson.Object):
		return invalidParams("_meta is no object")
	case version != strictjson.Absent && version != strictjson.String:
		return invalidParams("protocol version in _meta is no string")
	}
	return nil
}

func absentOr(v strictjson.Value, kind strictjson.Kind) bool {
	return v.Kind() == strictjson.Absent || v.Kind() == kind
}

// extras is the fault of members that a method may have.
func (m message) extras() *Fault {
	switch {
	case !absentOr(present(m.params.Get("arguments")), strictjson.Object):
		return invalidParams("arguments is no object")
	case !absentOr(m.params.Get("inputResponses"), strictjson.Object):
		return invalidParams("inputResponses is no object")
	case !absentOr(m.params.Get("requestState"), strictjson.String):
		return invalidParams("requestState is no string")
	}
	return nil
}

// about asks the questions of a known method.
func (r *reading) about(m message, known method) (name string, fault *Fault) {
	required := m.params.Get(known.member())
	switch known.about {
	case aboutTool:
		return r.named(m, OnTool, required)
	case aboutPrompt:
		return r.named(m, OnPrompt, required)
	case aboutResource:
		return r.resource(m.method, required, canonical)
	case aboutRef:
		return r.ref(m, required)
	case aboutListen:
		return "", r.listen(m)
	case aboutTask:
		if name = required.Text(); name == "" {
			fault = invalidParams("taskId is no string or empty")
		}
	}
	r.ask(Question{Action: m.method})
	return name, fault
}

// named asks about a tool or prompt.
func (r *reading) named(m message, target Target, v strictjson.Value) (string, *Fault) {
	name := v.Text()
	switch {
	case name == "":
		return "", invalidParams("name is no string or empty")
	case len(name) > maxName:
		return "", overLimit("name longer than 1 KiB")
	}
	r.ask(Question{Action: m.method, Target: target, Name: name})
	return name, nil
}

// resource asks about one resource, as spell reads its URI.
func (r *reading) resource(action string, v strictjson.Value, spell func(string, Rules) (URI, *refusal)) (string, *Fault) {
	sent := v.Text()
	if sent == "" {
		return "", invalidParams("uri is no string or empty")
	}
	uri, bad := spell(sent, r.rules)
	if bad != nil {
		uri = URI{Sent: sent} // for the record of the refusal
	}
	r.ask(Question{Action: action, Target: OnResource, URI: uri})
	if bad != nil {
		return "", refusedURI(bad)
	}
	return sent, nil
}

// ref asks about what completion/complete completes.
func (r *reading) ref(m message, ref strictjson.Value) (string, *Fault) {
	name, uri := ref.Get("name"), ref.Get("uri")
	switch kind := ref.Get("type").Text(); {
	case kind == "ref/prompt" && uri.Kind() == strictjson.Absent:
		return r.named(m, OnPrompt, name)
	case kind == "ref/resource" && name.Kind() == strictjson.Absent:
		return r.resource(m.method, uri, canonicalTemplate)
	}
	return "", invalidParams("ref is none of its two kinds")
}

// listen asks about a stream, and each thing that it will tell of.
func (r *reading) listen(m message) *Fault {
	r.ask(Question{Action: m.method})
	notifications := m.params.Get("notifications")
	if !absentOr(notifications, strictjson.Object) {
		return invalidParams("notifications is no object")
	}
	resources, tasks := notifications.Get("resourceSubscriptions"), notifications.Get("taskIds")
	if !absentOr(resources, strictjson.Array) {
		return invalidParams("resourceSubscriptions is no array")
	}
	count := 0
	var refused *Fault // of the first URI; a limit comes before it (contract §1)
	for v := range resources.Elements() {
		if count++; count > maxListen {
			return overLimit("more than 64 resources")
		}
		_, fault := r.resource("resources/subscribe", v, canonical)
		switch {
		case fault == nil:
		case fault.Reason == reasonLimit:
			return fault
		case refused == nil:
			refused = fault
		}
	}
	if refused != nil {
		return refused
	}
	if !absentOr(tasks, strictjson.Array) {
		return invalidParams("taskIds is no array")
	}
	named := false
	for v := range tasks.Elements() {
		if v.Kind() != strictjson.String || len(v.Raw()) == len(`""`) {
			return invalidParams("taskIds has an element that is no string or empty")
		}
		named = true
	}
	if named {
		r.ask(Question{Action: "tasks/get"})
	}
	return nil
}
