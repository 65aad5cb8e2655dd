# Documents on graphql-ruby.
require "graphql"
require "json"
require "socket"

RAN = {}

def label(type, name, is_root, is_composite)
  return name if %w[__schema __type].include?(name)
  return (is_composite ? ".#{name}" : nil) unless is_root
  type == "Mutation" ? "mutation.#{name}" : name
end

# Every field of the schema, introspection included, runs through the tracer.
module Tracer
  def self.trace(key, data)
    if key == "execute_field" && (data[:field].graphql_name.start_with?("__") || !data[:owner].graphql_name.start_with?("__"))
      name = label(data[:owner].graphql_name, data[:field].graphql_name, data[:path].length == 1,
                   data[:field].type.unwrap.kind.composite?)
      RAN[name] = true if name
    end
    yield
  end
end

class Any
  def self.call(_type, field, _object, _arguments, _context)
    field.type.unwrap.kind.composite? ? {} : "x"
  end
end

SCHEMA = GraphQL::Schema.from_definition(
  File.read("#{__dir__}/../schema.graphql"), default_resolve: Any
)
SCHEMA.tracer(Tracer)

# The fields that stand in the operation, for a document that does not validate.
def read(document, operation_name)
  names = {}
  fragments = document.definitions.grep(GraphQL::Language::Nodes::FragmentDefinition).to_h { |one| [one.name, one] }
  collect = lambda do |selections, type, is_root, spread|
    selections.each do |selection|
      case selection
      when GraphQL::Language::Nodes::Field
        name = label(type, selection.name, is_root, selection.selections.any?)
        names[name] = true if name
        collect.(selection.selections, type, false, spread)
      when GraphQL::Language::Nodes::InlineFragment
        collect.(selection.selections, type, is_root, spread)
      when GraphQL::Language::Nodes::FragmentSpread
        fragment = fragments[selection.name]
        if fragment && !spread.include?(selection.name)
          collect.(fragment.selections, type, is_root, spread + [selection.name])
        end
      end
    end
  end
  document.definitions.grep(GraphQL::Language::Nodes::OperationDefinition).each do |one|
    next if operation_name && one.name != operation_name
    collect.(one.selections, one.operation_type == "mutation" ? "Mutation" : "Query", true, [])
  end
  names
end

def judge(asked)
  document = begin
    GraphQL.parse(asked["query"])
  rescue GraphQL::ParseError, EncodingError, ArgumentError
    return ""
  end
  query = GraphQL::Query.new(SCHEMA, document: document, operation_name: asked["operationName"])
  return ["read", *read(document, asked["operationName"]).keys].join(" ") unless query.valid?
  RAN.clear
  query.result
  ["ran", *RAN.keys].join(" ")
end

server = TCPServer.new("127.0.0.1", ARGV.fetch(0).to_i)
loop do
  client = server.accept
  length = 0
  while (line = client.gets) && line != "\r\n"
    length = line.split(":").last.to_i if line.downcase.start_with?("content-length")
  end
  if line
    answer = JSON.generate(JSON.parse(client.read(length)).map { |asked| judge(asked) })
    client.write("HTTP/1.1 200 OK\r\ncontent-length: #{answer.bytesize}\r\n\r\n#{answer}")
  end
  client.close
end
