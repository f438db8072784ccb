// Record what Go's text/template makes of templates, for test_go_templates.py to compare with.
//
// Run it by hand, in this folder. It needs Go, and nothing else:
//
//	go run record.go
//
// It writes language.json again, with what each template of the table writes, and renderings.json, with what each
// *.gotmpl makes of each conversation. How a conversation is given to a template follows Ollama's rules.
// Source: https://github.com/ollama/ollama/blob/main/template/template.go
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"
	"text/template/parse"
)

type Kinds []string

func (k *Kinds) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*k = Kinds{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(k))
}

func (k Kinds) MarshalJSON() ([]byte, error) {
	if len(k) == 1 {
		return json.Marshal(k[0])
	}
	return json.Marshal([]string(k))
}

func (k Kinds) String() string {
	if len(k) == 0 {
		return ""
	}
	if len(k) == 1 {
		return k[0]
	}
	return fmt.Sprint([]string(k))
}

type Property struct {
	AnyOf       []Property `json:"anyOf,omitempty"`
	Type        Kinds      `json:"type,omitempty"`
	Items       any        `json:"items,omitempty"`
	Description string     `json:"description,omitempty"`
	Enum        []any      `json:"enum,omitempty"`
}

type Properties map[string]Property

func (p Properties) String() string { return text(p) }

type Parameters struct {
	Type       string     `json:"type"`
	Required   []string   `json:"required,omitempty"`
	Properties Properties `json:"properties"`
}

type ToolFunction struct {
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Parameters  Parameters `json:"parameters"`
}

func (f ToolFunction) String() string { return text(f) }

type Tool struct {
	Type     string       `json:"type"`
	Function ToolFunction `json:"function"`
}

func (t Tool) String() string { return text(t) }

type Tools []Tool

func (t Tools) String() string { return text(t) }

type Arguments map[string]any

func (a Arguments) String() string { return text(a) }

type CallFunction struct {
	Index     int
	Name      string
	Arguments Arguments
}

type Call struct {
	ID       string
	Function CallFunction
}

type Message struct {
	Role, Content, Thinking string
	Images                  [][]byte
	ToolCalls               []Call
	ToolName, ToolCallID    string
}

type Conversation struct {
	Think    any
	Tools    []ToolFunction
	Messages []struct {
		Role, Content, Thinking string
		ToolName                string         `json:"tool_name"`
		ToolCalls               []CallFunction `json:"tool_calls"`
	}
}

func text(value any) string {
	data, _ := json.Marshal(value)
	return string(data)
}

func typeScript(kind string) string {
	known := map[string]string{"string": "string", "number": "number", "integer": "number", "boolean": "boolean",
		"array": "any[]", "object": "Record<string, any>", "null": "null"}
	if found, ok := known[kind]; ok {
		return found
	}
	return "any"
}

func typeOf(property Property) string {
	var parts []string
	for _, one := range property.AnyOf {
		parts = append(parts, typeOf(one))
	}
	if len(parts) == 0 {
		for _, kind := range property.Type {
			parts = append(parts, typeScript(kind))
		}
	}
	if len(parts) == 0 {
		return "any"
	}
	return strings.Join(parts, " | ")
}

var functions = template.FuncMap{
	"json":          text,
	"currentDate":   func(...string) string { return "2026-11-26" },
	"yesterdayDate": func(...string) string { return "2026-11-25" },
	"toTypeScriptType": func(value any) string {
		if property, ok := value.(Property); ok {
			return typeOf(property)
		}
		return "any"
	},
}

func compiled(source string) (*template.Template, error) {
	return template.New("").Option("missingkey=zero").Funcs(functions).Parse(source)
}

func run(t *template.Template, data any) string {
	var written bytes.Buffer
	if err := t.Execute(&written, data); err != nil {
		panic(err)
	}
	return written.String()
}

// cut removes what comes behind the first action that writes .Response.
func cut(list *parse.ListNode) bool {
	for at, node := range list.Nodes {
		ends := false
		switch found := node.(type) {
		case *parse.ActionNode:
			ends = strings.Contains(found.String(), ".Response")
		case *parse.IfNode:
			ends = cut(found.List)
			if !ends && found.ElseList != nil {
				ends = cut(found.ElseList)
			} else if ends && found.ElseList != nil {
				found.ElseList.Nodes = nil
			}
		}
		if ends {
			list.Nodes = list.Nodes[:at+1]
			return true
		}
	}
	return false
}

func render(source string, given Conversation) string {
	t, err := compiled(source)
	if err != nil {
		panic(err)
	}
	hasMessages := strings.Contains(source, ".Messages")
	if !hasMessages && !strings.Contains(source, ".Response") {
		t, _ = compiled(source + "{{ .Response }}")
	}
	// 1. Turns of one role in a row become one
	var system []string
	var messages []*Message
	for _, one := range given.Messages {
		if one.Role == "system" {
			system = append(system, one.Content)
		}
		if n := len(messages); n > 0 && messages[n-1].Role == one.Role && one.Role != "tool" {
			messages[n-1].Content += "\n\n" + one.Content
			continue
		}
		made := &Message{Role: one.Role, Content: one.Content, Thinking: one.Thinking, ToolName: one.ToolName}
		for at, call := range one.ToolCalls {
			call.Index = at
			made.ToolCalls = append(made.ToolCalls, Call{Function: call})
		}
		messages = append(messages, made)
	}
	var tools Tools
	for _, one := range given.Tools {
		tools = append(tools, Tool{"function", one})
	}
	level, _ := given.Think.(string)
	think, _ := given.Think.(bool)
	with := func(more map[string]any) map[string]any {
		more["Think"], more["ThinkLevel"], more["IsThinkSet"] = think || level != "", level, given.Think != nil
		return more
	}
	// 2. All messages at once
	if hasMessages {
		return run(t, with(map[string]any{"System": strings.Join(system, "\n\n"), "Messages": messages, "Tools": tools,
			"Response": ""}))
	}
	// 3. Turn by turn
	written, last := "", map[string]any{"System": "", "Prompt": "", "Response": ""}
	for _, one := range messages {
		if (one.Role == "system" && last["Prompt"].(string)+last["Response"].(string) != "") ||
			(one.Role == "user" && last["Response"] != "") {
			written += run(t, with(last))
			last = map[string]any{"System": "", "Prompt": "", "Response": ""}
		}
		if key, ok := map[string]string{"system": "System", "user": "Prompt", "assistant": "Response"}[one.Role]; ok {
			last[key] = one.Content
		}
	}
	cut(t.Tree.Root)
	return written + run(t, with(last))
}

func read(path string, into any) {
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		panic(err)
	}
}

func write(path string, value any) {
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
	if err := os.WriteFile(path, data.Bytes(), 0o644); err != nil {
		panic(err)
	}
}

type Row struct {
	Template string `json:"template"`
	Writes   string `json:"writes"`
	Fails    string `json:"fails,omitempty"`
}

func main() {
	var rows []Row
	var data any
	read("language.json", &rows)
	read("data.json", &data)
	for at := range rows {
		row := &rows[at]
		row.Writes, row.Fails = "", ""
		t, err := compiled(row.Template)
		if err != nil {
			row.Fails = "parse"
			continue
		}
		var written bytes.Buffer
		if t.Execute(&written, data) != nil {
			row.Fails = "run"
			continue
		}
		row.Writes = written.String()
	}
	write("language.json", rows)

	var conversations map[string]Conversation
	read("conversations.json", &conversations)
	renderings := map[string]map[string]string{}
	paths, _ := filepath.Glob("*.gotmpl")
	sort.Strings(paths)
	for _, path := range paths {
		source, _ := os.ReadFile(path)
		name := strings.TrimSuffix(path, ".gotmpl")
		renderings[name] = map[string]string{}
		for title, one := range conversations {
			// A model that can think does so where nobody says anything about it
			if one.Think == nil && strings.Contains(string(source), ".Thinking") {
				one.Think = true
			}
			renderings[name][title] = render(string(source), one)
		}
	}
	write("renderings.json", renderings)
}
