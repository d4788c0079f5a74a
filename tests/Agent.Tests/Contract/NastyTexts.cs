using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace Agent.Tests.Contract;

/// <summary>Texts that no honest client sends, and every place of a message where a text may stand.</summary>
internal static class NastyTexts
{
    public static readonly string[] All =
    [
        "", " ", "\0", "a\0b", "line\nline", "a\r\nb", "\u001b[2J\u001b]0;title\a", "\u007f", "\u0085", "\u2028",
        "\u2029",
        "\u202eabc\u202c", "\u2066a\u2069", "\ud800", "a\udc00", "\ufeffbom", "\ufffd", "e\u0301", "安全组-网页",
        "👩\u200d💻", "%s%n{0}{Revision}", "\"quoted\"", "back\\slash", "a\",vnic=\"b", "# HELP x y",
        "</script>",
        "../../etc/passwd", "..", ".", "$(reboot)", "'; drop table", "-1/-1", "1/1/1", "80/80\0", "８０/８０",
        "٣/٣",
        "1e3/2e3",
        "0x50/0x51", "::ffff:10.0.0.1", "::ffff:0:0/96", "fe80::1%eth0", "fe80::1%25eth0", "[::1]", "[::1]:80",
        "10.0.0.1/08", "10.0.0.1/33", "10.0.0.1/-1", "10.0.0.1/ 8", "010.0.0.1", "0x7f.1", "1", "10.0.0.1-10.0.0.9",
        "2001:DB8::1", "2001:db8::1/129", "::/0", "0.0.0.0/0", "10.0.0.0/8/8", "1.2.3.4.5", "::1::", "tcp ",
        "ＴＣＰ",
        "İcmp", "02:00:00:00:00:0g", "ff:ff:ff:ff:ff:ff", "02-00-00-00-00-01", new string('x', 1 << 20),
        new string('/', 1 << 20), new string('\ud83d', 70), new string('é', 300),
    ];

    /// <summary>Every text of the message and of those in it: where it is, and how to set it.</summary>
    public static IEnumerable<(string Place, Action<string> Set)> PlacesOf(IMessage message, string path = "")
    {
        foreach (FieldDescriptor field in message.Descriptor.Fields.InDeclarationOrder())
        {
            string place = $"{path}.{field.Name}";
            object value = field.Accessor.GetValue(message);
            if (field.IsMap)
            {
                var map = (System.Collections.IDictionary)value;
                yield return ($"{place} key", text => map[text] = "value");
                yield return ($"{place} value", text => map["key"] = text);
            }
            else if (field.IsRepeated && value is System.Collections.IList list)
            {
                if (field.FieldType == FieldType.String)
                {
                    yield return (place, text => list.Add(text));
                }

                foreach ((string, Action<string>) inner in field.FieldType == FieldType.Message
                    ? list.Cast<IMessage>().Take(3).SelectMany((one, i) => PlacesOf(one, $"{place}[{i}]")) : [])
                {
                    yield return inner;
                }
            }
            else if (field.FieldType == FieldType.String)
            {
                yield return (place, text => field.Accessor.SetValue(message, text));
            }
            else if (value is IMessage inner)
            {
                foreach ((string, Action<string>) one in PlacesOf(inner, place))
                {
                    yield return one;
                }
            }
        }
    }
}
