// Package documents is what the GraphQL servers in Go share: how they are asked, and how they tell what ran.
package documents

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
)

// Document is one to be judged.
type Document struct{ Query, OperationName string }

// Label is how a field is told of in graphql.rs, if it is.
func Label(kind, name string, isRoot, isComposite bool) []string {
	switch {
	case name == "__schema" || name == "__type":
		return []string{name}
	case !isRoot && !isComposite:
		return nil
	case !isRoot:
		return []string{"." + name}
	case kind == "Mutation":
		return []string{"mutation." + name}
	}
	return []string{name}
}

var (
	ran   []string
	mutex sync.Mutex
)

// Record notes a field that runs.
func Record(kind, name string, isRoot, isComposite bool) {
	mutex.Lock()
	defer mutex.Unlock()
	ran = append(ran, Label(kind, name, isRoot, isComposite)...)
}

// Ran is what has run since the last call.
func Ran() []string {
	mutex.Lock()
	defer mutex.Unlock()
	taken := ran
	ran = nil
	return taken
}

// Said is an answer about a document: `ran` or `read` before fields.
func Said(how string, fields []string) string {
	return strings.Join(append([]string{how}, fields...), " ")
}

// Serve answers for documents by themselves, and at /graphql as the library's own HTTP layer does.
func Serve(judge func(Document) string, layer http.Handler) {
	http.HandleFunc("/documents", func(writer http.ResponseWriter, request *http.Request) {
		var asked []Document
		if err := json.NewDecoder(request.Body).Decode(&asked); err != nil {
			http.Error(writer, err.Error(), http.StatusBadRequest)
			return
		}
		answers := make([]string, len(asked))
		for i, document := range asked {
			answers[i] = judge(document)
		}
		json.NewEncoder(writer).Encode(answers)
	})
	http.Handle("/graphql", layer)
	http.HandleFunc("/ran", func(writer http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(writer).Encode([]string{Said("ran", Ran())})
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
