// Documents on gqlgen.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"differential/generated"
	"differential/model"
)

type document struct {
	Query         string `json:"query"`
	OperationName string `json:"operationName"`
}

type names []string

func (found *names) add(kind, name string, isRoot, isComposite bool) {
	switch {
	case name == "__schema" || name == "__type":
	case !isRoot && !isComposite:
		return
	case !isRoot:
		name = "." + name
	case kind == "Mutation":
		name = "mutation." + name
	}
	*found = append(*found, name)
}

var (
	ran   names
	mutex sync.Mutex
)

// No resolver of gqlgen's own is called: each field is answered here, but `q`, for which it asks nobody.
func resolve(ctx context.Context, next graphql.Resolver) (any, error) {
	field := graphql.GetFieldContext(ctx)
	isOfSchema := strings.HasPrefix(field.Object, "__")
	if !isOfSchema {
		// The root has a context of its own, and so has `Query` below the root.
		isRoot := true
		for parent := field.Parent; parent != nil; parent = parent.Parent {
			isRoot = isRoot && parent.Field.Field == nil
		}
		mutex.Lock()
		ran.add(field.Object, field.Field.Name, isRoot, len(field.Field.Selections) > 0)
		mutex.Unlock()
	}
	if isOfSchema || strings.HasPrefix(field.Field.Name, "__") {
		return next(ctx)
	}
	text := "x"
	switch field.Field.Definition.Type.Name() {
	case "Item":
		return &model.Item{}, nil
	case "Query":
		return &model.Query{}, nil
	default:
		return &text, nil
	}
}

// The fields that stand in the operation, for a document that does not validate.
func read(tree *ast.QueryDocument, operationName string) (found names) {
	var collect func(set ast.SelectionSet, kind string, isRoot bool, spread []string)
	collect = func(set ast.SelectionSet, kind string, isRoot bool, spread []string) {
		for _, selection := range set {
			switch selection := selection.(type) {
			case *ast.Field:
				found.add(kind, selection.Name, isRoot, len(selection.SelectionSet) > 0)
				collect(selection.SelectionSet, kind, false, spread)
			case *ast.InlineFragment:
				collect(selection.SelectionSet, kind, isRoot, spread)
			case *ast.FragmentSpread:
				fragment := tree.Fragments.ForName(selection.Name)
				isOpen := fragment != nil
				for _, name := range spread {
					isOpen = isOpen && name != selection.Name
				}
				if isOpen {
					collect(fragment.SelectionSet, kind, isRoot, append(spread[:len(spread):len(spread)], selection.Name))
				}
			}
		}
	}
	for _, operation := range tree.Operations {
		if operationName != "" && operation.Name != operationName {
			continue
		}
		kind := "Query"
		if operation.Operation == ast.Mutation {
			kind = "Mutation"
		}
		collect(operation.SelectionSet, kind, true, nil)
	}
	return found
}

func main() {
	engine := executor.New(generated.NewExecutableSchema(generated.Config{}))
	engine.Use(extension.Introspection{})
	engine.AroundFields(resolve)
	judge := func(asked document) string {
		ctx := graphql.StartOperationTrace(context.Background())
		parameters := &graphql.RawParams{Query: asked.Query, OperationName: asked.OperationName}
		operation, errors := engine.CreateOperationContext(ctx, parameters)
		if errors != nil {
			tree, err := parser.ParseQuery(&ast.Source{Input: asked.Query})
			if err != nil {
				return ""
			}
			return strings.Join(append(names{"read"}, read(tree, asked.OperationName)...), " ")
		}
		ran = nil
		respond, ctx := engine.DispatchOperation(ctx, operation)
		respond(ctx)
		return strings.Join(append(names{"ran"}, ran...), " ")
	}
	http.HandleFunc("/documents", func(writer http.ResponseWriter, request *http.Request) {
		var documents []document
		if err := json.NewDecoder(request.Body).Decode(&documents); err != nil {
			http.Error(writer, err.Error(), http.StatusBadRequest)
			return
		}
		answers := make([]string, len(documents))
		for i, asked := range documents {
			answers[i] = judge(asked)
		}
		json.NewEncoder(writer).Encode(answers)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
