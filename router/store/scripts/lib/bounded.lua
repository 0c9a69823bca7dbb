-- An entry that somebody wrote manually may have more fields than unpack can take: of those, ours are kept.
local function bounded(fields)
  local kept = {}
  for i = 1, #fields, 2 do
    if #kept < 256 or OURS[fields[i]] then
      kept[#kept + 1] = fields[i]
      kept[#kept + 1] = fields[i + 1]
    end
  end
  return kept
end

local function without(fields, name)
  local kept = {}
  for i = 1, #fields, 2 do
    if fields[i] ~= name then
      kept[#kept + 1] = fields[i]
      kept[#kept + 1] = fields[i + 1]
    end
  end
  return kept
end
