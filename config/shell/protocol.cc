#include "config/shell/protocol.h"

#include <boost/json/src.hpp>

namespace culvert::config::shell {
namespace {

namespace json = boost::json;

Error<ProtocolError> bad(std::string reason) { return Error{ProtocolError{std::move(reason)}}; }

Result<json::object, ProtocolError> object_of(std::string_view line)
{
    if (line.size() > kMaxLine) return bad("a message is too long");
    json::error_code error;
    json::parse_options options;
    options.max_depth = 4;
    auto value = json::parse(line, error, {}, options);
    if (error) return bad("a message is not JSON: " + error.message());
    if (!value.is_object()) return bad("a message is not an object");
    return std::move(value).as_object();
}

std::string text_of(const json::object& object, std::string_view key)
{
    const auto* value = object.if_contains(key);
    return value && value->is_string() ? std::string{value->as_string()} : std::string{};
}

bool flag_of(const json::object& object, std::string_view key)
{
    const auto* value = object.if_contains(key);
    return value && value->is_bool() && value->as_bool();
}

std::uint64_t number_of(const json::object& object, std::string_view key)
{
    const auto* value = object.if_contains(key);
    if (!value) return 0;
    if (value->is_uint64()) return value->as_uint64();
    return value->is_int64() && value->as_int64() >= 0 ? static_cast<std::uint64_t>(value->as_int64()) : 0;
}

std::string message(const json::object& object) { return json::serialize(object) + "\n"; }

}  // namespace

std::string encode(const Request& request)
{
    json::object out{{"v", request.version}, {"id", request.id}, {"line", request.line}};
    if (request.interactive) out["interactive"] = true;
    return message(out);
}

std::string encode(const Reply& reply)
{
    if (const auto* text = std::get_if<Text>(&reply)) return message({{"id", text->id}, {"text", text->text}});
    if (const auto* run = std::get_if<Run>(&reply)) {
        json::array argv;
        for (const auto& argument : run->argv) argv.emplace_back(argument);
        return message({{"id", run->id}, {"exec", json::object{{"argv", std::move(argv)}}}});
    }
    const auto& done = std::get<Done>(reply);
    json::object out{
        {"id", done.id}, {"done", true}, {"status", done.status}, {"prompt", done.prompt}, {"mode", done.mode}};
    if (!done.error.empty()) out["error"] = done.error;
    if (done.close) out["close"] = true;
    return message(out);
}

Result<Request, ProtocolError> decode_request(std::string_view line)
{
    const auto object = object_of(line);
    if (!object) return Error{object.error()};
    Request request;
    request.version = static_cast<int>(number_of(*object, "v"));
    if (request.version == 0) return bad("a request has no version");
    request.id = number_of(*object, "id");
    request.line = text_of(*object, "line");
    request.interactive = flag_of(*object, "interactive");
    return request;
}

Result<Reply, ProtocolError> decode_reply(std::string_view line)
{
    const auto object = object_of(line);
    if (!object) return Error{object.error()};
    const auto id = number_of(*object, "id");
    if (const auto* text = object->if_contains("text")) {
        if (!text->is_string()) return bad("`text` is not a string");
        return Reply{Text{id, std::string{text->as_string()}}};
    }
    if (const auto* run = object->if_contains("exec")) {
        const auto* argv = run->is_object() ? run->as_object().if_contains("argv") : nullptr;
        if (!argv || !argv->is_array() || argv->as_array().empty()) return bad("`exec` has no `argv`");
        Run out{id, {}};
        for (const auto& argument : argv->as_array()) {
            if (!argument.is_string()) return bad("`argv` holds something else than strings");
            out.argv.emplace_back(argument.as_string());
        }
        return Reply{std::move(out)};
    }
    if (!flag_of(*object, "done")) return bad("a reply is neither `text`, `exec` nor `done`");
    Done done;
    done.id = id;
    done.status = static_cast<int>(number_of(*object, "status"));
    done.prompt = text_of(*object, "prompt");
    done.mode = text_of(*object, "mode");
    done.error = text_of(*object, "error");
    done.close = flag_of(*object, "close");
    return Reply{std::move(done)};
}

bool LineBuffer::append(std::string_view octets)
{
    buffer_ += octets;
    return buffer_.size() <= kMaxLine || buffer_.find('\n') != buffer_.npos;
}

std::optional<std::string> LineBuffer::next()
{
    const auto end = buffer_.find('\n', searched_);
    if (end == buffer_.npos) {
        searched_ = buffer_.size();
        return std::nullopt;
    }
    auto line = buffer_.substr(0, end);
    buffer_.erase(0, end + 1);
    searched_ = 0;
    return line;
}

}  // namespace culvert::config::shell
